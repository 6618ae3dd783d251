"""All services of a release, read and changed together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from shared.delivery.standing import Standing, standing
from shared.errors import DeadlineExceeded, DependencyError, LecternError, Missing, PreconditionFailed
from shared.ports import Change, Service, Services
from shared.resilience.deadline import Deadline
from shared.resilience.retry import Sleep

T = TypeVar("T")
Decide = Callable[[Service], Change | None]
"""What to change of a service as it is now; None for nothing. Asked again when somebody else was first."""
_TRIES = 6
_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one service's change."""

    service: str
    changed: bool = False
    error: LecternError | None = None


class Fleet:
    """``names`` are the services, chat first: what readers are on is changed before the rest."""

    def __init__(self, services: Services, names: Sequence[str], sleep: Sleep) -> None:
        self._services = services
        self.names = tuple(names)
        self.chat = self.names[0]
        self._sleep = sleep

    def standing(self, deadline: Deadline) -> Standing:
        """Where every service stands."""
        with ThreadPoolExecutor(len(self.names)) as pool:
            found = list(pool.map(lambda name: self.get(name, deadline), self.names))
        return standing({service.name: service for service in found}, self.chat)

    def get(self, name: str, deadline: Deadline) -> Service:
        """One service, asked again after errors that may pass."""
        return self._patiently(lambda: self._services.get(name, deadline), deadline)

    def change(self, name: str, decide: Decide, deadline: Deadline) -> bool:
        """Decide and change from what the service is; whether anything was changed.

        When somebody else changed it in between, or the answer was lost, it is read and decided again.
        """

        def once() -> bool:
            service = self._services.get(name, deadline)
            change = decide(service)
            if change is not None:
                self._services.change(service, change, deadline)
            return change is not None

        return self._patiently(once, deadline)

    def change_all(self, deciding: Mapping[str, Decide], deadline: Deadline) -> list[Outcome]:
        """Change several at the same time, each whatever becomes of the others."""

        def one(name: str) -> Outcome:
            try:
                return Outcome(name, self.change(name, deciding[name], deadline))
            except LecternError as error:
                return Outcome(name, error=error)

        if not deciding:
            return []
        with ThreadPoolExecutor(len(deciding)) as pool:
            return list(pool.map(one, deciding))

    def refuses(self, name: str, revision: str, deadline: Deadline) -> bool:
        """Whether a revision is there and its container does not come up."""
        try:
            return not self._patiently(
                lambda: self._services.revision(name, revision, deadline), deadline
            ).ready
        except LecternError:
            return False

    def has(self, name: str, revision: str, deadline: Deadline) -> bool:
        """Whether a revision is there. One that cannot be asked for counts as there: a route to one that is
        not is refused.
        """
        try:
            self._patiently(lambda: self._services.revision(name, revision, deadline), deadline)
        except Missing:
            return False
        except LecternError:
            return True
        return True

    def _patiently(self, call: Callable[[], T], deadline: Deadline) -> T:
        return patiently(call, deadline, self._sleep)


def patiently(call: Callable[[], T], deadline: Deadline, sleep: Sleep) -> T:
    """The result of ``call``, tried again after what may pass: a lost connection, a service that is busy, and
    somebody who changed the same thing at the same time.
    """
    for attempt in range(1, _TRIES):
        try:
            return call()
        except (DependencyError, DeadlineExceeded) as error:
            again = isinstance(error, PreconditionFailed) or getattr(error, "retryable", False)
            pause = max(_PAUSE * 2 ** (attempt - 1), getattr(error, "retry_after", None) or 0.0)
            if not again or pause >= deadline.remaining():
                raise
            sleep(pause)
    return call()
