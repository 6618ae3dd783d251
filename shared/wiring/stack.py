"""Where the services are: those that the settings name, and an embedded one for each that they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from shared.embedded.stack import Addresses, EmbeddedStack, Progress, reset, running
from shared.errors import StackError
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.parts import Parts

__all__ = ["Addresses", "Progress", "Services", "is_embedded", "reset", "running", "services"]

SERVICES = ("database_url", "qdrant_url", "storage_bucket")
MIGRATION_SECONDS = 60.0


class Services:
    """The settings with an address for every service; ``announce`` tells other commands where the local
    page is, when the stack is our own.
    """

    def __init__(self, settings: Settings, announce: Callable[[str], None] = lambda _: None) -> None:
        self.settings = settings
        self.announce = announce


def is_embedded(settings: Settings) -> bool:
    """Whether any service is left to the embedded stack."""
    return not all(getattr(settings, name) for name in SERVICES)


def refuse_to_make(settings: Settings) -> None:
    """Raise StackError where there is no stack yet: for commands that only look at one."""
    if is_embedded(settings) and not Path(settings.home).exists():
        raise StackError(
            f"There is no stack in {Path(settings.home).absolute()} yet.",
            hint="Start with `make run` (or `lectern run`).",
        )


@contextmanager
def services(
    settings: Settings, progress: Progress = lambda _: None, *, share: bool = True
) -> Iterator[Services]:
    """Services that answer, with the database's schema in place: of the settings, of a stack that runs
    (unless ``share`` is off), or of one that is started for as long as the context lasts.
    """
    addresses = running(Path(settings.home)) if share and is_embedded(settings) else None
    if not is_embedded(settings) or addresses:
        found = _filled(settings, addresses) if addresses else settings
        yield _prepared(found, ours=not settings.database_url)
        return
    with EmbeddedStack(Path(settings.home), progress) as stack:
        assert stack.addresses is not None
        ready = _prepared(_filled(settings, stack.addresses), ours_alone=not settings.database_url)
        ready.announce = stack.announce
        yield ready


def _prepared(settings: Settings, *, ours: bool = False, ours_alone: bool = False) -> Services:
    deadline = Deadline.after(MIGRATION_SECONDS)
    with Parts(settings) as parts:
        if ours or ours_alone or not parts.applied_migrations(deadline):
            parts.prepare_database(deadline, ours_alone=ours_alone)
        else:
            _refuse_an_old_schema(parts, deadline)
    return Services(settings)


def _refuse_an_old_schema(parts: Parts, deadline: Deadline) -> None:
    """A managed database may serve readers of another release: what a migration takes away, only
    `lectern migrate` may decide.
    """
    from shared.wiring.release_index import pending

    names = [one.name for one in pending(parts, deadline)]
    if names:
        raise StackError(
            f"The database lacks {len(names)} of this code's migrations: {', '.join(names)}.",
            hint="Run `lectern migrate`.",
        )


def _filled(settings: Settings, addresses: Addresses) -> Settings:
    """The settings with the stack's address for each service that they do not name."""
    missing = {name: getattr(addresses, name) for name in SERVICES if not getattr(settings, name)}
    return replace(settings, **missing)
