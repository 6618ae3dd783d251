"""The lifeboat's file and its place in a bucket: what a damaged, hostile or busy one does."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from shared.embedded.folder import FolderStore
from shared.errors import Corrupt, LecternError, Missing, Rejected, TimedOut
from shared.ingestion.chunking import chunk_page
from shared.ingestion.index_points import count_statistics
from shared.ingestion.markdown import read_markdown
from shared.ports import Condition
from shared.resilience.deadline import Deadline
from shared.retrieval.candidates import query_words
from shared.retrieval.chunks import Chunk
from shared.retrieval.layout import Facts, statistics_point
from shared.retrieval.lifeboat import Lifeboat
from shared.retrieval.lifeboat_file import LifeboatFile, build, write
from shared.retrieval.lifeboat_store import LifeboatStore, Pointer

TEXTS = {
    "backup": "# Backups\nA backup is made every night.\n## Restore a backup\nRun `lectern restore`.\n",
    "limits": "# Rate limits\nA reader may ask 60 questions.\n## Change them\nSet `max_questions`.\n",
    "odd": '# "Quotes" AND (NEAR) * ^ -\nIt\'s `a:b` OR "x" — größe 日本 \x00 \ud800 end.\n',
}


def soon() -> Deadline:
    return Deadline.after(20.0)


def chunks_of(texts: dict[str, str]) -> list[Chunk]:
    pages = [read_markdown(text, url=f"/{name}", fallback_title=name) for name, text in texts.items()]
    return [chunk for page in pages for chunk in chunk_page(page)]


def file_of(texts: dict[str, str], generation: str = "g0001") -> bytes:
    pages = [read_markdown(text, url=f"/{name}", fallback_title=name) for name, text in texts.items()]
    statistics = count_statistics((page, chunk_page(page)) for page in pages)
    return build(chunks_of(texts), statistics_point(statistics, Facts(generation, "f")).payload)


@pytest.fixture(scope="module")
def data() -> bytes:
    return file_of(TEXTS)


@pytest.fixture
def boat(data: bytes) -> Iterator[LifeboatFile]:
    opened = LifeboatFile(data)
    yield opened
    opened.close()


def urls(found: list[Chunk]) -> list[str]:
    return [chunk.page_url for chunk in found]


def test_what_was_put_in_comes_out(boat: LifeboatFile) -> None:
    """A reader in an outage would get another text than the docs have."""
    found = boat.find(["restor"], soon(), limit=5)
    (chunk,) = [one for one in chunks_of(TEXTS) if one.headings == ("Restore a backup",)]
    assert found == [replace(chunk, prose="")]
    assert boat.index.facts.generation == "g0001"


def test_words_of_a_question_are_no_query_language(boat: LifeboatFile) -> None:
    """A question with quotes or operators would end in an error, or search for something else."""
    for question in (
        '"',
        "NEAR(a b)",
        "title: x",
        "a AND NOT b",
        "max_questions*",
        "x' OR 1=1 --",
        "größe 日本",
    ):
        words = query_words(question, boat.index.statistics)
        boat.find(words.every, soon(), limit=5)
    limits = query_words("max_questions*", boat.index.statistics)
    assert set(urls(boat.find(limits.every, soon(), limit=5))) == {"/limits"}
    assert "/odd" in urls(boat.find(query_words("Größe", boat.index.statistics).every, soon(), limit=5))
    assert boat.find([], soon(), limit=5) == []


def test_conditions(boat: LifeboatFile) -> None:
    """A reader of one version would be answered from another."""
    every = ["a", "backup", "reader"]
    only = Condition("url", ("/limits",))
    assert set(urls(boat.find(every, soon(), limit=9, conditions=[only]))) == {"/limits"}
    assert boat.find(every, soon(), limit=9, conditions=[Condition("version", ("9",))]) == []
    with pytest.raises(Rejected):
        boat.find(every, soon(), limit=9, conditions=[Condition("payload", ("x",))])


def test_a_damaged_file_is_refused_or_right(data: bytes, full: bool) -> None:
    """A flipped bit would end the instance, or put nonsense before the reader."""
    expected = LifeboatFile(data).find(["backup"], soon(), limit=5)
    dice = random.Random(4)
    for _ in range(3000 if full else 300):
        damaged = bytearray(data)
        for _ in range(dice.randint(1, 8)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        cut = bytes(damaged[: dice.randrange(len(damaged))] if dice.random() < 0.3 else damaged)
        try:
            opened = LifeboatFile(cut)
        except Corrupt:
            continue
        try:
            found = opened.find(["backup"], soon(), limit=5)
            assert all(isinstance(one, Chunk) for one in found), expected
        except LecternError:
            pass
        finally:
            opened.close()


def test_another_database_is_no_lifeboat() -> None:
    """A file of another version would be searched with the wrong columns."""
    base = sqlite3.connect(":memory:")
    base.execute("CREATE TABLE facts (payload TEXT)")
    other = base.serialize()
    base.close()
    for wrong in (other, b"", b"SQLite format 3\x00", b"{}" * 5000):
        with pytest.raises(Corrupt, match="lifeboat"):
            LifeboatFile(wrong)


def test_many_readers_at_once(boat: LifeboatFile) -> None:
    """Readers who ask at the same time in an outage would get each other's passages."""

    def ask(number: int) -> bool:
        word, url = (("night", "/backup"), ("reader", "/limits"))[number % 2]
        return urls(boat.find([word], soon(), limit=5)) == [url]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(400)))


def test_a_search_ends_with_its_deadline() -> None:
    """One hard question would hold up all others beyond their deadlines."""
    opened = LifeboatFile(file_of({f"p{n}": f"# Page {n}\n" + "apple pear plum " * 60 for n in range(900)}))
    ticks = iter(range(10_000_000))
    with pytest.raises(TimedOut):
        # The clock stands at 0 when it is asked first, and one second later at each look.
        opened.find(["apple", "pear", "plum"], Deadline(3.0, lambda: float(next(ticks))), limit=60)
    assert opened.find(["plum"], soon(), limit=3)
    opened.close()


# ---------------------------------------------------------------- the bucket


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def names(folder: FolderStore) -> list[str]:
    return [info.name for info in folder.list("lifeboats/", soon())]


def test_the_pointer_is_written_last_and_old_boats_go(folder: FolderStore) -> None:
    """The bucket would fill up, or an instance would be sent to a file that is not there."""
    store = LifeboatStore(folder)
    for generation in ("g0001", "g0002", "g0003"):
        made = file_of(TEXTS, generation)
        assert store.keep(generation, "c", lambda path, made=made: path.write_bytes(made), soon())
    assert [name.split("/")[1] for name in names(folder)] == ["current.json", "g0002", "g0003"]
    assert not store.keep("g0003", "c", lambda _path: pytest.fail("made anew"), soon())
    assert store.pointer(soon()).object in names(folder)


def test_a_damaged_pointer_is_replaced_and_never_believed(folder: FolderStore, data: bytes) -> None:
    """One bad byte would leave a site without a lifeboat for ever, or fill an instance's memory."""
    store = LifeboatStore(folder)
    boat = Lifeboat(store, Clock())
    with pytest.raises(Missing):
        boat.live_facts(soon())
    for wrong in (b"", b"{", b"[]", b'{"generation": 1}', b"\xff\xfe"):
        folder.put("lifeboats/current.json", wrong, soon())
        with pytest.raises(Corrupt):
            boat.live_facts(soon())
        assert store.keep("g0001", "c", lambda path: path.write_bytes(data), soon())
    honest = store.pointer(soon())
    bombs = [{"opened_size": 10**12}, {"opened_size": 10}, {"size": 1}, {"sha256": "0" * 64}, {"size": -1}]
    for bomb in bombs:
        lie = msgspec.structs.replace(honest, **bomb)
        folder.put("lifeboats/current.json", msgspec.json.encode(lie), soon())
        with pytest.raises(Corrupt):
            Lifeboat(store, Clock()).live_facts(soon())
    assert isinstance(honest, Pointer)


def test_a_new_boat_that_is_damaged_leaves_the_old_one(folder: FolderStore, data: bytes) -> None:
    """A bad upload would take away the lifeboat that is aboard."""
    store, clock = LifeboatStore(folder), Clock()
    store.keep("g0001", "c", lambda path: path.write_bytes(data), soon())
    boat = Lifeboat(store, clock)
    assert boat.live_facts(soon()).generation == "g0001"
    store.keep("g0002", "c", lambda path: path.write_bytes(b"no database"), soon())
    clock.now = 31.0
    assert boat.live_facts(soon()).generation == "g0001"
    store.keep("g0003", "c", lambda path: path.write_bytes(file_of(TEXTS, "g0003")), soon())
    assert boat.live_facts(soon()).generation == "g0001"
    clock.now = 62.0
    assert boat.live_facts(soon()).generation == "g0003"


def test_a_boat_that_was_withdrawn_is_let_go_of(folder: FolderStore, data: bytes) -> None:
    """Instances that had it aboard would show removed pages until they are replaced."""
    store, clock = LifeboatStore(folder), Clock()
    store.keep("g0001", "c", lambda path: path.write_bytes(data), soon())
    boat = Lifeboat(store, clock)
    assert boat.live_facts(soon()).generation == "g0001"
    assert store.withdraw(soon())
    assert (names(folder), store.withdraw(soon())) == ([], False)
    clock.now = 31.0
    for _ in range(2):
        with pytest.raises(Missing):
            boat.live_facts(soon())
    store.keep("g0001", "c", lambda path: path.write_bytes(data), soon())
    assert boat.live_facts(soon()).generation == "g0001"


def test_a_site_too_large_for_an_instance_is_refused_at_writing(folder: FolderStore, tmp_path: Path) -> None:
    """The outage that the lifeboat is for would end the instance for want of memory."""
    with pytest.raises(Rejected, match="bytes"):
        LifeboatStore(folder, most_bytes=1000).keep(
            "g0001", "c", lambda path: path.write_bytes(bytes(1001)), soon()
        )
    assert names(folder) == []
    facts = statistics_point(count_statistics([]), Facts("g", "f")).payload
    passages = (chunk for _ in range(10**6) for chunk in chunks_of(TEXTS))  # it ends long before these do
    with pytest.raises(Rejected, match="bytes"):
        write(tmp_path / "boat", passages, facts, most_bytes=2**20)
