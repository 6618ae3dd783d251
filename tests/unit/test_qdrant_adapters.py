"""The pure parts of the Qdrant adapters: checks, batches, bodies, names of errors."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.qdrant import convert, errors, validate
from shared.adapters.qdrant.requests import condition_body, filter_body
from shared.errors import Rejected
from shared.ports import CollectionSpec, Condition, Point, Search, SparseVector

SPEC = CollectionSpec({"dense": 3}, ("text",))
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
TOO_MUCH = st.sampled_from([math.nan, math.inf, -math.inf, 3.5e38, -1e300])


def identity(number: int) -> str:
    return str(UUID(int=number))


@given(st.lists(FLOAT32, min_size=3, max_size=3))
def test_every_finite_vector_passes(numbers: list[float]) -> None:
    """A good passage with large numbers would be refused."""
    validate.check_point("upsert", Point(identity(1), {"dense": numbers}), SPEC)


@given(st.lists(FLOAT32, min_size=2, max_size=2), TOO_MUCH, st.integers(0, 2))
def test_no_number_that_is_not_finite_passes(numbers: list[float], bad: float, place: int) -> None:
    """A NaN would make every score of its point a NaN, and rank it anywhere."""
    numbers.insert(place, bad)
    with pytest.raises(Rejected):
        validate.check_point("upsert", Point(identity(1), {"dense": numbers}), SPEC)
    sparse = SparseVector((1, 2, 3), tuple(numbers))
    with pytest.raises(Rejected):
        validate.check_search("search", Search("text", sparse, 1))


def test_ids_take_the_form_in_which_they_are_answered() -> None:
    """A retrieved point would not be found under the id that was asked."""
    assert validate.checked_id("retrieve", "{" + identity(5).upper() + "}") == identity(5)


@given(st.lists(st.integers(0, 3_000_000), max_size=30))
def test_batches_keep_every_point_once_and_stay_small(sizes: list[int]) -> None:
    """A batch over the server's limit would fail the whole ingestion."""
    points = [Point(identity(number), {}, {"text": "x" * size}) for number, size in enumerate(sizes)]
    batches = list(convert.batches(points))
    assert [point for batch in batches for point in batch] == points
    for batch in batches:
        size = sum(len(str(point.payload["text"])) for point in batch)
        assert size <= 4 * 2**20 or len(batch) == 1


def test_batches_have_at_most_256_points() -> None:
    """One request would take longer than a deadline allows."""
    points = (Point(identity(number)) for number in range(600))
    assert [len(batch) for batch in convert.batches(points)] == [256, 256, 88]


def test_conditions_of_one_type_are_one_match_and_others_alternatives() -> None:
    """Qdrant refuses a list of two types, and has no list of booleans."""
    assert condition_body(Condition("a", ("x", "y"))) == {"key": "a", "match": {"any": ["x", "y"]}}
    assert condition_body(Condition("a", (1, 2))) == {"key": "a", "match": {"any": [1, 2]}}
    assert condition_body(Condition("a", (True,))) == {"should": [{"key": "a", "match": {"value": True}}]}
    assert len(condition_body(Condition("a", (1, "x")))["should"]) == 2
    assert filter_body([], ["i"]) == {"must": [], "must_not": [{"has_id": ["i"]}]}


def test_a_vector_of_another_distance_is_a_difference() -> None:
    """Scores of a dot-product collection would be taken for cosines."""
    there = CollectionSpec({"dense": 0}, ("text",))
    assert (
        convert.difference(there, SPEC)
        == "'dense' is dense but not cosine there and dense with 3 numbers here"
    )
    assert convert.difference(SPEC, SPEC) == ""


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("-1", None), ("nan", None), ("inf", None), ("soon", None), (None, None)],
)
def test_retry_after_is_seconds_or_nothing(header: str | None, seconds: float | None) -> None:
    """A retry would wait for ever, or not at all."""
    assert errors.throttled("search", "HTTP 429", header).retry_after == seconds


def test_what_the_service_says_is_passed_on_in_bounds() -> None:
    """A proxy's error page would fill the log, or the service's own reason be lost."""
    body = b'{"status": {"error": "' + b"x" * 5000 + b'"}, "time": 0}'
    assert 300 <= len(errors.of_status("search", 400, body, {}).message) < 400
    assert errors.of_status("search", 502, b"<html>", {}).detail == "HTTP 502"


def test_the_chat_path_loads_no_client() -> None:
    """The first answer after a pause would come a second later."""
    code = (
        "import sys; import shared.adapters.qdrant.search;"
        "heavy = {'qdrant_client', 'pydantic', 'grpc', 'numpy', 'qdrant_edge'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
