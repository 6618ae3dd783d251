"""The contract of :class:`shared.ports.RunStarts`, on every server."""

from __future__ import annotations

import threading

import pytest

from shared.adapters.neon.pool import Pool
from shared.adapters.neon.run_starts import NeonRunStarts
from shared.adapters.neon.runs import NeonRuns
from shared.errors import DependencyError, Rejected
from shared.ports import Run, RunStarts
from shared.resilience.deadline import Deadline
from tests.contract.neon_servers import soon


@pytest.fixture
def starts(pool: Pool) -> RunStarts:
    NeonRuns(pool).begin(Run("r1", "site", "/site", "", "f"), soon())
    return NeonRunStarts(pool)


def test_a_start_is_known_with_its_age(starts: RunStarts) -> None:
    """A run would be started again while its first start is under way."""
    assert starts.find("r1", soon()) is None
    starts.record("r1", "", soon())
    first = starts.find("r1", soon())
    assert first is not None
    assert (first.execution, 0 <= first.age < 20) == ("", True)
    starts.record("r1", "e-1", soon())
    second = starts.find("r1", soon())
    assert second is not None
    assert second.execution == "e-1"


def test_only_a_start_without_an_execution_is_forgotten(starts: RunStarts) -> None:
    """A job that runs would be lost sight of, or one that never began be waited for."""
    starts.record("r1", "", soon())
    starts.forget("r1", soon())
    assert starts.find("r1", soon()) is None
    starts.record("r1", "e-1", soon())
    starts.forget("r1", soon())
    assert starts.find("r1", soon()) is not None


def test_a_start_belongs_to_a_run(starts: RunStarts) -> None:
    """Rows would stay behind that belong to nothing."""
    with pytest.raises(Rejected, match="23503"):
        starts.record("unknown", "", soon())


def test_one_starts_at_a_time(starts: RunStarts, pool: Pool) -> None:
    """Two calls at once would both find no run, and start two."""
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait(20)
        with NeonRunStarts(pool).alone(soon()):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with starts.alone(soon()):
        inside.set()
        with pytest.raises(DependencyError), NeonRunStarts(pool).alone(Deadline.after(0.2)):
            pytest.fail("both start")
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    with pytest.raises(ZeroDivisionError), starts.alone(soon()):
        raise ZeroDivisionError
    with starts.alone(soon()):
        pass
