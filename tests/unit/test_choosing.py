"""Which recovery point a restore takes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from shared.embedded.folder import FolderStore
from shared.errors import Missing
from shared.recovery.catalogue import Catalogue, read_catalogue
from shared.recovery.point import point_id
from shared.recovery.restore import Part, Wanted, choose
from tests.recovery_points import commit_point, cut_part, day, soon

LATER = timedelta(minutes=40)
"""By so much the vectors are cut after the database."""


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    store = FolderStore(tmp_path_factory.mktemp("bucket"))
    for number in range(3):
        parts = {name: cut_part(store, day(number), name) for name in ("neon", "qdrant")}
        parts["qdrant"] = replace(parts["qdrant"], snapshot_at=day(number) + LATER)
        commit_point(store, day(number), parts)
    return read_catalogue(store, soon())


@pytest.mark.parametrize(
    ("as_of", "part", "expected"),
    [
        (day(1) + LATER, None, 1),
        (day(1) + LATER - timedelta(seconds=1), None, 0),
        (day(1) + LATER - timedelta(seconds=1), "neon", 1),
        (day(1), "neon", 1),
        (day(1), "qdrant", 0),
        (day(9), None, 2),
    ],
)
def test_nothing_that_is_restored_is_younger_than_asked(
    catalogue: Catalogue, as_of: datetime, part: Part | None, expected: int
) -> None:
    """A restore to the moment before a mistake would bring the mistake back in one of its parts."""
    assert choose(catalogue, Wanted(as_of=as_of, part=part)) == point_id(day(expected))


def test_a_moment_before_all_points_is_refused_by_name(catalogue: Catalogue) -> None:
    """An operator would not learn how far back they can go."""
    with pytest.raises(Missing, match="none at or before 2026-11-01 03:20:00 UTC"):
        choose(catalogue, Wanted(as_of=day(0) + LATER / 2))
    assert choose(catalogue, Wanted(as_of=day(0) + LATER / 2, table="rows")) == point_id(day(0))
