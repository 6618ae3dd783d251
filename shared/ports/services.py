"""The services that answer requests, their revisions, and who gets how much of the traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from shared.resilience.deadline import Deadline

NEWEST = ""
"""A target that follows the newest ready revision: what a service does before its first release."""


AWAY = "@"


def located(key: str) -> tuple[str, str]:
    """The name that Cloud Run knows a service by, and its region; the region is empty for the first one.

    ``lectern-chat@europe-west4`` is ``lectern-chat`` in another region.
    """
    name, _, region = key.partition(AWAY)
    return name, region


@dataclass(frozen=True, slots=True)
class Target:
    """A share of a service's requests (0 to 100 percent) that goes to one revision. A ``tag`` gives that
    revision an address of its own, ``url``, whatever its share.
    """

    revision: str
    percent: int = 0
    tag: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A service as it is now. ``name`` is its key, see :func:`located`. ``etag`` names this state;
    ``traffic`` is what was asked for, and ``url`` where readers come in. ``newest`` is the revision made
    last, ready or not; ``newest_ready`` the one that ``NEWEST`` means. ``settled`` is False while a change is
    under way or after one failed, ``message`` says why.
    """

    name: str
    url: str
    etag: str
    traffic: tuple[Target, ...]
    newest: str
    newest_ready: str
    annotations: Mapping[str, str] = field(default_factory=dict)
    settled: bool = True
    message: str = ""


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision never changes. ``ready`` says whether its container came up, ``message`` why not; ``image``
    is what it runs, ``environment`` its variables without the secret ones.
    """

    name: str
    image: str
    ready: bool
    message: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """A request to ``path`` that must be answered 2xx; ``failures`` in a row condemn the container.
    Seconds.
    """

    path: str
    period_seconds: int
    timeout_seconds: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Everything that a new revision is made of. ``secrets``: variable -> (secret's name, version).
    ``memory`` as ``512Mi``; ``account`` is the e-mail address of the service account; ``subnet`` (with its
    network) is empty where instances reach the internet by themselves. ``startup``, ``liveness``,
    ``concurrency`` and what follows them are for services; ``command``, ``retries`` and ``parallelism`` (0:
    Cloud Run's choice) for jobs, whose ``revision`` is empty.
    """

    revision: str
    image: str
    environment: Mapping[str, str]
    secrets: Mapping[str, tuple[str, str]]
    account: str
    cpu: float
    memory: str
    timeout_seconds: int
    concurrency: int = 1
    startup: HttpProbe | None = None
    liveness: HttpProbe | None = None
    session_affinity: bool = False
    cpu_boost: bool = False
    network: str = ""
    subnet: str = ""
    all_egress: bool = False
    command: tuple[str, ...] = ()
    retries: int = 0
    parallelism: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What to replace; None leaves a part as it is. ``annotations`` are merged in; an empty value removes
    one.
    """

    traffic: tuple[Target, ...] | None = None
    annotations: Mapping[str, str] | None = None
    template: Template | None = None


class Services(Protocol):
    """Cloud Run's services, as a release needs them, named by their keys (:func:`located`). A change is one
    call: it happens whole or not at all.

    Errors: ``Missing`` (no such service or revision), ``PreconditionFailed`` (the service changed since it
    was read: read it again and decide again), ``Rejected`` (wrong template, unknown revision, a container
    that does not come up), ``AccessDenied``, ``Throttled``, ``Overloaded``, ``Unreachable``, ``TimedOut``,
    ``Garbled``.
    """

    def get(self, name: str, deadline: Deadline) -> Service:
        """The service as it is now."""
        ...

    def change(self, service: Service, change: Change, deadline: Deadline) -> Service:
        """Change it from exactly the state of ``service``, and wait until that is done."""
        ...

    def revision(self, service: str, name: str, deadline: Deadline) -> Revision:
        """One revision by its name."""
        ...


class JobTemplates(Protocol):
    """What Cloud Run's jobs are made of. Errors are those of :class:`Services`."""

    def deploy(self, job: str, template: Template, deadline: Deadline) -> None:
        """Let the next executions of the job run this; nothing happens when they do already."""
        ...
