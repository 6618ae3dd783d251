"""Which recovery point a restore takes."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from shared.embedded.folder import FolderStore
from shared.errors import Missing
from shared.recovery.catalogue import Catalogue, read_catalogue
from shared.recovery.point import manifest_name, point_id
from shared.recovery.restore import Part, Wanted, choose, passed_over
from tests.recovery_points import commit_point, cut_part, cut_point, day, soon

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


def test_a_newer_point_that_cannot_be_read_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    """An operator would bring back an older day and take it for the last one."""
    store = FolderStore(tmp_path)
    for number in range(4):
        cut_point(store, day(number))
    for number in (0, 2, 3):
        store.put(manifest_name(point_id(day(number))), b"{}", soon())
    known = read_catalogue(store, soon())
    for wanted, told in (
        (Wanted(), [3, 2]),
        (Wanted(as_of=day(2)), [2]),
        (Wanted(as_of=day(1)), []),
        (Wanted(point=point_id(day(1))), []),
    ):
        point = choose(known, wanted)
        assert point == point_id(day(1))
        lines = passed_over(known, wanted, point)
        assert [line.partition(" cannot be read: ")[0] for line in lines] == [point_id(day(n)) for n in told]
