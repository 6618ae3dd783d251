"""Every changed bit of exported vectors is found before a point is written."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import AccessDenied, Corrupt, Interrupted
from shared.objects import CheckedReader
from shared.ports import ObjectInfo, ObjectReader, ObjectStore, PackedPoint, PackedSparse
from shared.recovery.lines import FORMAT, Head, LinesReader, LinesWriter
from shared.recovery.point import PartRecord
from shared.recovery.vectors_check import check_vectors
from shared.resilience.deadline import Deadline
from shared.retrieval.digest import packed
from tests.recovery.vector_world import World, many_points, odd_points, patient, reserved


class Bytes:
    """The reading half of an object store over bytes that a test chose, with no checksum of its own."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    @contextmanager
    def open_read(
        self,
        name: str,
        _deadline: Deadline,
    ) -> Iterator[ObjectReader]:
        data = memoryview(self.objects[name])
        position = 0

        def pull(size: int) -> bytes:
            nonlocal position
            piece = data[position : position + size]
            position += len(piece)
            return bytes(piece)

        yield CheckedReader("test", ObjectInfo(name, len(data), 1, "", 0.0), pull)


def objects_of(record: PartRecord, store: ObjectStore) -> dict[str, bytes]:
    return {entry.name: store.get(entry.name, Deadline.after(30))[0] for entry in record.objects}


def is_found(world: World, record: PartRecord, objects: dict[str, bytes]) -> bool:
    try:
        check_vectors(record, Bytes(objects), world.cipher(), patient())  # type: ignore[arg-type]
    except (Corrupt, Interrupted, AccessDenied):  # the last: the name of the key has changed
        return True
    return False


@pytest.mark.parametrize("encrypted", [True, False])
def test_every_flipped_byte_of_a_small_export_is_found(world: World, encrypted: bool) -> None:
    """A bit that turned in the bucket would come back as another answer."""
    world.fill([packed(reserved()), *map(packed, odd_points()[:3]), *many_points(3)])
    record = world.export(encrypted=encrypted)
    (name,) = objects_of(record, world.store)
    data = objects_of(record, world.store)[name]
    assert not is_found(world, record, {name: data})
    dice = random.Random(5)
    for offset in range(len(data)):
        changed = bytearray(data)
        changed[offset] ^= 1 << dice.randrange(8)
        assert is_found(world, record, {name: bytes(changed)}), f"byte {offset} of {len(data)}"
    for cut in range(0, len(data), 7):
        assert is_found(world, record, {name: data[:cut]}), f"cut at {cut}"
    assert is_found(world, record, {name: data + b"\0"})


@pytest.mark.parametrize("encrypted", [True, False])
def test_flips_in_a_larger_export_are_found(world: World, encrypted: bool, *, full: bool) -> None:
    """The same, in an export of several objects."""
    world.fill([packed(reserved()), *many_points(1500)])
    record = world.export(encrypted=encrypted)
    objects = objects_of(record, world.store)
    dice = random.Random(6)
    for _ in range(1000 if full else 40):
        name = dice.choice(sorted(objects))
        changed = bytearray(objects[name])
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        assert is_found(world, record, {**objects, name: bytes(changed)})


# ------------------------------------------------------------ the lines themselves

_NUMBER = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_SPARSE = st.dictionaries(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4), max_size=4)
_VECTOR = st.binary(max_size=24) | _SPARSE.map(lambda d: PackedSparse(b"".join(d), b"".join(d.values())))
_NAME = st.text(max_size=5)
_POINT = st.builds(
    PackedPoint,
    st.uuids().map(str),
    st.dictionaries(_NAME, _VECTOR, max_size=3),
    st.dictionaries(_NAME, _JSON, max_size=3),
)


def written(points: list[PackedPoint]) -> bytes:
    out: list[bytes] = []
    lines = LinesWriter(out.append, Head("points", FORMAT, "c", None, {}))
    lines.add(points)
    lines.end(None)
    return b"".join(out)


@settings(max_examples=60, deadline=None)
@given(st.lists(_POINT, max_size=5), st.integers(1, 50))
def test_lines_read_as_they_were_written(points: list[PackedPoint], block: int) -> None:
    """A line end or a quote inside a passage would tear the file."""
    data = written(points)
    blocks = [data[start : start + block] for start in range(0, len(data), block)]
    reader = LinesReader("x", blocks)
    assert list(reader) == points
    assert reader.end
    assert reader.end.points == len(points)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}\n",
        b"\n\n\n",
        written([])[:-1],
        written([]).replace(b'"format":1', b'"format":2'),
        written([]).replace(b'"points":0', b'"points":1'),
        written([]) + b"{}\n",
        written(many_points(2)).replace(b'"position"', b'"positiom"', 1),
        b"\n".join(written(many_points(2)).split(b"\n")[:-2]) + b"\n",
        b"\n".join(written(many_points(2)).split(b"\n")[1:]),
        b"\xff\xfe\n",
    ],
)
def test_what_is_not_of_the_format_is_refused(data: bytes) -> None:
    """A file of another program, or half of one of ours, would be restored as far as it goes."""
    with pytest.raises(Corrupt):
        list(LinesReader("x", [data]))


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    """A file that somebody made would end the process that looks at it."""
    with pytest.raises(Corrupt, match="does not end"):
        list(LinesReader("x", (b"a" * (16 << 20) for _ in range(100))))


def test_the_format_is_the_documented_one() -> None:
    """Programs that others wrote after the handbook would not read new points."""
    head, point, end, rest = written([PackedPoint("i", {"d": b"\0\0\x80\x3f"}, {"x": 1})]).split(b"\n")
    assert msgspec.json.decode(head)["lectern"] == "points"
    assert msgspec.json.decode(point) == {"id": "i", "vectors": {"d": "AACAPw=="}, "payload": {"x": 1}}
    assert set(msgspec.json.decode(end)) == {"points", "digest", "next"}
    assert rest == b""
