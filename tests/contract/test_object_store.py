"""The contract of :class:`shared.ports.ObjectStore`, on every implementation.

With ``STORAGE_BUCKET=gs://name`` it also runs against that bucket, under a prefix of its own.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import DependencyError, Missing, PreconditionFailed, Rejected, TimedOut
from shared.objects import crc32c
from shared.ports import ObjectInfo
from shared.resilience.deadline import Deadline
from tests.contract.object_store_subjects import CHUNK, FAKES, Subject, subject

REAL = os.environ.get("STORAGE_BUCKET", "")
KINDS = ["folder", *FAKES, *([f"gcs:{REAL}", f"gcs_http:{REAL}"] if REAL.startswith("gs://") else [])]
ODD_NAMES = [
    "plain", "a b/c d", "ünï/çødé/日本語.md", "100%/a%2Fb", "what?/x=1&y", "a#b", "'quoted\"", "a+b",
    "x" * 700, ".hidden/..dots..", "emoji 🦉", "semi;colon:and*star|pipe<>",
]  # fmt: skip
BAD_NAMES = ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a\\b", "a\0b", "a\nb", "é" * 513, "\ud800"]


def soon() -> Deadline:
    return Deadline.after(30.0)


@pytest.fixture(params=KINDS, ids=[kind.partition("gs://")[0] for kind in KINDS])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    with subject(request.param, tmp_path) as found:
        yield found


@pytest.fixture(params=["folder", *FAKES])
def versioned(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    with subject(request.param, tmp_path, versioning=True) as found:
        yield found


# ---------------------------------------------------------------- results


def test_what_was_put_comes_back_with_its_facts(at: Subject) -> None:
    """Without it, a manifest or a spooled answer would not be what was written."""
    put = at.store.put(at.name("a/b.json"), b'{"x": 1}', soon(), metadata={"kind": "part", "ä": "ö 1"})
    body, info = at.store.get(at.name("a/b.json"), soon())
    assert body == b'{"x": 1}'
    assert put == info == at.store.stat(at.name("a/b.json"), soon()) == at.infos()[0]
    assert (info.name, info.size, info.crc32c) == (at.name("a/b.json"), 8, crc32c(b'{"x": 1}'))
    assert info.metadata == {"kind": "part", "ä": "ö 1"}
    assert info.generation > 0
    assert info.updated > 1.7e9


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 77])
def test_a_stream_of_any_size_comes_back(at: Subject, size: int) -> None:
    """Without it, objects that end at the edge of a chunk would lose or repeat bytes."""
    data = random.Random(size).randbytes(size)
    with at.store.open_write(at.name("s"), soon(), metadata={"k": "v"}) as writer:
        for start in range(0, size, 100_003):
            writer.write(data[start : start + 100_003])
    assert (writer.info.size, writer.info.crc32c) == (size, crc32c(data))
    with at.store.open_read(at.name("s"), soon()) as reader:
        parts = []
        while part := reader.read(70_001):
            assert len(part) <= 70_001
            parts.append(part)
        assert reader.read(1) == b""
        assert reader.info == writer.info
    assert b"".join(parts) == data == at.store.get(at.name("s"), soon())[0]


def test_a_large_put_and_a_single_large_write(at: Subject) -> None:
    """Without it, an object over one chunk would be refused when it is handed over whole."""
    data = random.Random(3).randbytes(2 * CHUNK + 5)
    assert at.store.put(at.name("p"), data, soon()).size == len(data)
    with at.store.open_write(at.name("w"), soon()) as writer:
        writer.write(data)
    with at.store.open_read(at.name("w"), soon()) as reader:
        assert reader.read() == data


def test_a_reader_may_stop_early(at: Subject) -> None:
    """Without it, looking at the head of a large part would cost the whole of it, or an error."""
    at.store.put(at.name("a"), b"head" + bytes(CHUNK), soon())
    with at.store.open_read(at.name("a"), soon()) as reader:
        assert reader.read(4) == b"head"
        assert reader.read(0) == b""


def test_each_write_has_a_higher_generation(at: Subject) -> None:
    """Without it, two states of an object could not be told apart."""
    seen = [at.store.put(at.name("a"), b"x", soon()).generation for _ in range(3)]
    at.store.delete(at.name("a"), soon())
    seen.append(at.store.put(at.name("a"), b"x", soon()).generation)
    assert seen == sorted(set(seen))


def test_a_list_is_by_prefix_and_in_the_order_of_names(at: Subject) -> None:
    """Without it, retention would miss recovery points or take those of another name."""
    names = ["a/1", "a/10", "a/2", "a-b", "a.b", "ab/x", "A/1", "a/é", "a/z/deep/er", "b"]
    for name in names:
        at.store.put(at.name(name), name.encode(), soon())
    assert at.names() == sorted(names)
    assert at.names("a/") == sorted(name for name in names if name.startswith("a/"))
    assert at.names("a/1") == ["a/1", "a/10"]
    assert at.names("a/z/d") == ["a/z/deep/er"]
    assert at.names("zzz") == []


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_odd_names_work_everywhere(at: Subject, name: str) -> None:
    """Without it, a page with a space or a percent sign in its name could not be stored."""
    info = at.store.put(at.name(name), b"odd", soon())
    assert info.name == at.name(name)
    assert at.store.get(at.name(name), soon()) == (b"odd", info)
    assert at.names() == [name]
    with at.store.open_write(at.name(name), soon(), if_generation_match=info.generation) as writer:
        writer.write(b"more")
    assert at.store.stat(at.name(name), soon()).size == 4
    at.store.delete(at.name(name), soon())
    assert at.names() == []


def test_old_versions_are_kept_and_readable(versioned: Subject) -> None:
    """Without it, an overwritten backup would be lost although versioning is on."""
    store = versioned.store
    first, second = (store.put("a", text, soon()) for text in (b"one", b"two"))
    store.put("b", b"x", soon())
    store.delete("b", soon())
    listed = list(store.list("", soon(), versions=True))
    assert [(info.name, info.size) for info in listed] == [("a", 3), ("a", 3), ("b", 1)]
    assert [info.generation for info in listed[:2]] == [first.generation, second.generation]
    assert versioned.names() == ["a"]
    with store.open_read("a", soon(), generation=first.generation) as reader:
        assert (reader.read(), reader.info.generation) == (b"one", first.generation)
    with store.open_read("b", soon(), generation=listed[2].generation) as reader:
        assert reader.read() == b"x"
    with pytest.raises(Missing):
        store.get("b", soon())
    with pytest.raises(Missing), store.open_read("a", soon(), generation=12345):
        pass


def test_a_deleted_object_can_be_made_anew(versioned: Subject) -> None:
    """Without it, "must not exist" would fail for ever after a delete under versioning."""
    versioned.store.put("a", b"1", soon(), if_generation_match=0)
    versioned.store.delete("a", soon())
    assert versioned.store.put("a", b"2", soon(), if_generation_match=0).size == 1


# ---------------------------------------------------------------- errors


def test_what_is_not_there_is_missing(at: Subject) -> None:
    """Without it, "no such backup" would look like a broken service."""
    for attempt in (
        lambda: at.store.get(at.name("no"), soon()),
        lambda: at.store.stat(at.name("no"), soon()),
        lambda: at.store.delete(at.name("no"), soon()),
        lambda: at.store.open_read(at.name("no"), soon()).__enter__(),
    ):
        with pytest.raises(Missing, match="no"):
            attempt()


@pytest.mark.parametrize("way", ["put", "stream", "large"])
def test_a_write_is_refused_when_its_precondition_does_not_hold(at: Subject, way: str) -> None:
    """Without it, two runs would overwrite each other's manifest."""

    def write(match: int) -> ObjectInfo:
        if way == "put":
            return at.store.put(at.name("a"), b"new", soon(), if_generation_match=match)
        with at.store.open_write(at.name("a"), soon(), if_generation_match=match) as writer:
            writer.write(b"new" if way == "stream" else bytes(2 * CHUNK))
        return writer.info

    with pytest.raises(PreconditionFailed):
        write(17)
    assert at.names() == []
    first = write(0)
    with pytest.raises(PreconditionFailed):
        write(0)
    with pytest.raises(PreconditionFailed):
        write(first.generation - 1)
    assert at.store.stat(at.name("a"), soon()) == first
    assert write(first.generation).generation > first.generation


def test_a_delete_is_refused_when_its_precondition_does_not_hold(at: Subject) -> None:
    """Without it, a clean-up would take the object that was just renewed."""
    info = at.store.put(at.name("a"), b"1", soon())
    with pytest.raises(PreconditionFailed):
        at.store.delete(at.name("a"), soon(), if_generation_match=info.generation + 1)
    assert at.names() == ["a"]
    at.store.delete(at.name("a"), soon(), if_generation_match=info.generation)
    assert at.names() == []


@pytest.mark.parametrize("way", ["put", "stream"])
def test_of_many_threads_exactly_one_wins(at: Subject, way: str) -> None:
    """Without it, a lease kept in an object could have two holders."""
    start, won, lost = threading.Barrier(6), [], []

    def race(number: int) -> None:
        start.wait()
        try:
            if way == "put":
                at.store.put(at.name("lease"), b"%d" % number, soon(), if_generation_match=0)
            else:
                with at.store.open_write(at.name("lease"), soon(), if_generation_match=0) as writer:
                    writer.write(b"%d" % number)
            won.append(number)
        except PreconditionFailed:
            lost.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 5)
    assert at.store.get(at.name("lease"), soon())[0] == b"%d" % won[0]


RACE = """
from shared.errors import PreconditionFailed
name = sys.argv[2]
print("up", flush=True)
sys.stdin.readline()
wins = 0
while wins < 10:
    body, info = store.get(name, deadline)
    try:
        store.put(name, b"%d" % (int(body) + 1), deadline, if_generation_match=info.generation)
        wins += 1
    except PreconditionFailed:
        pass
    except Exception as error:
        if not getattr(error, "retryable", False):  # replaced between the two looks of a read
            raise
"""


def test_processes_count_without_losing_a_step(at: Subject) -> None:
    """Without it, read-modify-write across functions would lose updates."""
    at.store.put(at.name("counter"), b"0", soon())
    children = [at.child(RACE, at.name("counter")) for _ in range(2)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
    for child in children:
        child.communicate("go\n", timeout=60)
        assert child.returncode == 0
    assert at.store.get(at.name("counter"), soon())[0] == b"20"


class Stop(Exception):
    """What a caller raises to cancel."""


@pytest.mark.parametrize("size", [0, 10, 3 * CHUNK + 1])
def test_an_exception_inside_leaves_no_object(at: Subject, size: int) -> None:
    """Without it, a backup that failed half-way would leave a truncated object that looks whole."""

    def cancel(name: str) -> None:
        with at.store.open_write(at.name(name), soon()) as writer:
            writer.write(bytes(size))
            raise Stop

    with pytest.raises(Stop):
        cancel("new")
    old = at.store.put(at.name("old"), b"old", soon())
    with pytest.raises(Stop):
        cancel("old")
    assert at.infos() == [old]


def test_the_facts_of_a_write_are_known_only_when_it_is_committed(at: Subject) -> None:
    """Without it, a caller could record the generation of an object that never came to be."""
    with at.store.open_write(at.name("a"), soon()) as writer, pytest.raises(Rejected, match="not committed"):
        _ = writer.info
    assert writer.info.size == 0


@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_bad_names_are_rejected_before_anything_happens(at: Subject, name: str) -> None:
    """Without it, a name from a request could reach outside of the store."""
    for attempt in (
        lambda: at.store.put(name, b"", soon()),
        lambda: at.store.open_write(name, soon()),
        lambda: at.store.get(name, soon()),
        lambda: at.store.stat(name, soon()),
        lambda: at.store.open_read(name, soon()),
        lambda: at.store.delete(name, soon()),
    ):
        with pytest.raises(Rejected, match="no object name"):
            attempt()
    assert at.names() == []


def test_a_deadline_that_has_passed_is_a_time_out(at: Subject) -> None:
    """Without it, a request that is out of time would go on costing."""
    at.store.put(at.name("a"), bytes(2 * CHUNK), soon())
    late = Deadline.after(-1.0)
    for attempt in (
        lambda: at.store.put(at.name("b"), b"", late),
        lambda: at.store.open_write(at.name("b"), late).__enter__(),
        lambda: at.store.get(at.name("a"), late),
        lambda: at.store.stat(at.name("a"), late),
        lambda: list(at.store.list(at.prefix, late)),
        lambda: at.store.delete(at.name("a"), late),
    ):
        with pytest.raises(TimedOut):
            attempt()
    assert at.names() == ["a"]


def test_a_deadline_that_passes_on_the_way_is_a_time_out(at: Subject) -> None:
    """Without it, a long transfer would outlast its function, and leave who knows what."""
    now = [0.0]
    deadline = Deadline(1.0, clock=lambda: now[0])
    at.store.put(at.name("a"), bytes(3 * CHUNK), soon())
    with at.store.open_read(at.name("a"), deadline) as reader:
        assert reader.read(10)
        now[0] = 2.0
        with pytest.raises(TimedOut):
            reader.read()
    now[0] = 0.0

    def write_slowly() -> None:
        with at.store.open_write(at.name("b"), deadline) as writer:
            writer.write(bytes(10))
            now[0] = 2.0
            writer.write(bytes(3 * CHUNK))

    with pytest.raises(TimedOut):
        write_slowly()
    assert at.names() == ["a"]


MEMORY = """
import resource
size, block = 20 << 20, bytes(range(256)) * 1024
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
name = sys.argv[2]
store.put(name + "-warm", b"x", deadline)
with store.open_write(name + "-warm", deadline) as writer:
    writer.write(block)
store.get(name + "-warm", deadline)
before = peak()
with store.open_write(name, deadline) as writer:
    for _ in range(size // len(block)):
        writer.write(block)
with store.open_read(name, deadline) as reader:
    total = 0
    while part := reader.read(1 << 16):
        total += len(part)
print(total, peak() - before)
"""


def test_20_mb_stream_through_a_few(at: Subject) -> None:
    """Without it, a backup would need as much memory as it is large, and be killed."""
    child = at.child(MEMORY, at.name("big"))
    out, _ = child.communicate(timeout=90)
    total, grown = map(int, out.split())
    assert total == 20 << 20
    assert grown < 8, f"{grown} MB"


def test_every_error_names_what_was_attempted_and_the_next_step(at: Subject) -> None:
    """Without it, an operator would read "failed" and not know what, on what, nor what to do."""
    with pytest.raises(DependencyError) as caught:
        at.store.get(at.name("some/object"), soon())
    assert caught.value.service in {"folder", "gcs"}
    assert caught.value.operation == "read"
    assert "some/object" in caught.value.message
    assert caught.value.hint
