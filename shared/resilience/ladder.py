"""The way down: rungs in order of preference, climbed within one deadline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from shared.errors import DeadlineExceeded, DependencyError, LecternError, NoRungHeld, Rejected
from shared.resilience.breaker import Breaker
from shared.resilience.deadline import Deadline

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rung(Generic[T]):
    """One way of doing a step. ``climb`` must end by the deadline it is given.

    ``needs`` are the breakers of the services it asks: the rung is skipped while one of them is open, and
    when one of the services has failed a rung above in the same request. ``most_seconds`` bounds its time.
    """

    name: str
    climb: Callable[[Deadline], T]
    needs: tuple[Breaker, ...] = ()
    most_seconds: float = float("inf")


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """What the rung ``rung`` gave; ``reasons`` say why those above did not, e.g. ``qdrant: timed_out``."""

    value: T
    rung: str
    reasons: tuple[str, ...] = ()


class Ladder(Generic[T]):
    """Rungs, best first. ``reserve_seconds`` are kept back for each rung below the one that is tried;
    where there is less time than that, the rungs share it evenly. The last one may use all that is left.
    """

    def __init__(
        self, attempted: str, rungs: Sequence[Rung[T]], *, share: float = 0.5, reserve_seconds: float = 1.0
    ) -> None:
        self._attempted = attempted
        self._rungs = tuple(rungs)
        self._share = share
        self._reserve = reserve_seconds

    def hold(self, deadline: Deadline) -> Held[T]:
        """The value of the first rung that holds.

        Raises :class:`~shared.errors.NoRungHeld` when none does. Errors that are not a service's, nor of
        the time, are mistakes and pass through.
        """
        fall = _Fall()
        for place, rung in enumerate(self._rungs):
            if fall.skips(rung):
                continue
            limit = self._limit(deadline, rung, len(self._rungs) - place - 1)
            try:
                return Held(_climb(rung, limit), rung.name, fall.said())
            except (DependencyError, DeadlineExceeded) as error:
                fall.note(rung.name, error)
        raise NoRungHeld(self._attempted, fall.said(), fall.errors) from (
            fall.errors[-1] if fall.errors else None
        )

    def _limit(self, deadline: Deadline, rung: Rung[T], below: int) -> Deadline:
        left = deadline.remaining()
        seconds = left
        if below:
            seconds = min(left * self._share, max(left - self._reserve * below, left / (below + 1)))
        return deadline.within(min(seconds, rung.most_seconds))


def _climb(rung: Rung[T], limit: Deadline) -> T:
    limit.timeout(rung.most_seconds, attempted=rung.name)
    return rung.climb(limit)


class _Fall:
    """What has failed so far in one request."""

    def __init__(self) -> None:
        self.errors: list[LecternError] = []
        self._reasons: dict[str, None] = {}
        self._lost: set[str] = set()

    def said(self) -> tuple[str, ...]:
        return tuple(self._reasons)

    def note(self, rung: str, error: LecternError) -> None:
        self.errors.append(error)
        who = error.service if isinstance(error, DependencyError) else rung
        self._reasons[f"{who}: {error.code}"] = None
        # A refusal concerns what was sent: a rung below sends something else.
        if isinstance(error, DependencyError) and not isinstance(error, Rejected):
            self._lost.add(who)

    def skips(self, rung: Rung[T]) -> bool:
        """Whether a service that the rung needs is known to be down."""
        shut = [breaker for breaker in rung.needs if not breaker.admits()]
        for breaker in shut:
            if breaker.service not in self._lost:
                self._reasons[f"{breaker.service}: open"] = None
        return bool(shut) or any(breaker.service in self._lost for breaker in rung.needs)
