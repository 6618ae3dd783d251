"""What every part of a release works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.delivery.fleet import Fleet, Outcome
from shared.delivery.platform import Environment
from shared.delivery.release import Manifests
from shared.delivery.standing import Lease, Standing, text_of
from shared.errors import DependencyError, LecternError, ReleaseError
from shared.ports import JobTemplates
from shared.resilience.deadline import Deadline
from shared.resilience.retry import Sleep

CALL_SECONDS = 30.0
"""For one look at the services, or one object of the bucket."""
CHANGE_SECONDS = 600.0
"""For one change of all services; a new revision has to come up meanwhile."""

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Desk:
    """``jobs`` is where they are deployed. ``now`` is Unix seconds. ``say`` is told about progress, in words
    for a person.
    """

    fleet: Fleet
    jobs: JobTemplates
    manifests: Manifests
    environment: Environment
    now: Callable[[], float]
    sleep: Sleep
    say: Say

    def standing(self) -> Standing:
        """Where things stand now."""
        return self.fleet.standing(self.call())

    def call(self) -> Deadline:
        return Deadline.after(CALL_SECONDS)

    def change(self) -> Deadline:
        return Deadline.after(CHANGE_SECONDS)

    def lease(self, release: str) -> str:
        """The annotation that says: this release is tended from now on."""
        return text_of(Lease(release, round(self.now() + self.environment.platform.canary.lease_seconds, 3)))


def said(error: LecternError) -> str:
    """What went wrong, without what was attempted: that stands before it."""
    return error.detail if isinstance(error, DependencyError) else error.message


def succeeded(outcomes: list[Outcome], attempted: str) -> None:
    """Raise what went wrong with any of several changes, all of it in one error."""
    failed = [one for one in outcomes if one.error is not None]
    if failed:
        words = "; ".join(f"{one.service}: {said(one.error)}" for one in failed if one.error)
        raise ReleaseError(f"{attempted} failed. {words}", hint="Look at `lectern release status`.")
