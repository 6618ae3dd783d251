"""What ``GET /health`` says: each dependency asked at the same time, and what follows for the whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from shared.errors import LecternError
from shared.resilience.deadline import Clock, Deadline

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"


class Worrying(LecternError):
    """Raised by a probe whose part works, but not as promised; the message says why."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One dependency. ``check`` returns when it works and raises one of our errors when it does not;
    what it returns is shown as the detail.
    """

    name: str
    check: Callable[[Deadline], str]


@dataclass(frozen=True, slots=True)
class DependencyHealth:
    """``status`` is healthy, degraded (it works, but not as promised) or unhealthy; ``detail`` says what was
    found, in words.
    """

    status: str
    latency_ms: float
    detail: str


@dataclass(frozen=True, slots=True)
class Health:
    """``overall_status``: healthy (all work), degraded (some do; readers still get answers) or unhealthy."""

    overall_status: str
    dependencies: Mapping[str, DependencyHealth]


def examine(probes: Sequence[Probe], deadline: Deadline, clock: Clock = time.perf_counter) -> Health:
    """Ask every dependency at once; none can make the answer later than ``deadline``."""
    with ThreadPoolExecutor(max_workers=max(len(probes), 1), thread_name_prefix="health") as pool:
        found = list(pool.map(lambda probe: _ask(probe, deadline, clock), probes))
    return judged({probe.name: health for probe, health in zip(probes, found, strict=True)})


def judged(dependencies: Mapping[str, DependencyHealth]) -> Health:
    """The whole, from its parts."""
    found = {one.status for one in dependencies.values()}
    overall = HEALTHY if found <= {HEALTHY} else UNHEALTHY if found == {UNHEALTHY} else DEGRADED
    return Health(overall, dict(dependencies))


def _ask(probe: Probe, deadline: Deadline, clock: Clock) -> DependencyHealth:
    started = clock()
    try:
        detail = probe.check(deadline)
        status = HEALTHY
    except Worrying as error:
        detail, status = error.message, DEGRADED
    except LecternError as error:
        detail, status = str(error), UNHEALTHY
    return DependencyHealth(status, round((clock() - started) * 1000, 1), detail)
