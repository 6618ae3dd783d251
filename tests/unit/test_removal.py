"""Whether a run may remove pages unasked: the decision alone."""

from __future__ import annotations

import pytest

from shared.errors import RemovalNotAllowed
from shared.ingestion.plan import check_removal
from shared.ports import Differences


def gone(removed: int, left: int) -> Differences:
    return Differences((), (), tuple(f"/{n}" for n in range(removed)), left)


@pytest.mark.parametrize(("removed", "left"), [(0, 0), (1, 1), (2, 4), (4, 4), (5, 20), (20, 80)])
def test_what_may_go_unasked(removed: int, left: int) -> None:
    """Every page that a small site takes down would need an operator."""
    check_removal("r1", gone(removed, left), 0.2)


@pytest.mark.parametrize(("removed", "left"), [(1, 0), (4, 2), (3, 2), (5, 19), (21, 79)])
def test_what_asks(removed: int, left: int) -> None:
    """A broken build would take four pages of a site of six, and nobody would be asked."""
    with pytest.raises(RemovalNotAllowed, match=f"remove {removed} of {removed + left} pages"):
        check_removal("r1", gone(removed, left), 0.2)
