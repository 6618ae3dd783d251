"""The contract of :class:`shared.ports.AnswerCache`, on every implementation."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.adapters.neon.cache import NeonCache
from shared.adapters.neon.pool import Pool
from shared.answering.cache import LayeredCache, ProcessCache
from shared.embedded.postgres import EmbeddedPostgres
from shared.errors import TimedOut, Unreachable
from shared.ports import AnswerCache, CacheEntry, Kept
from shared.resilience.deadline import Deadline
from tests.contract.neon_servers import fresh_database

ANSWER = {"answer": 'it\'s "ü" 日本', "citations": [{"n": 1, "url": "/a#b"}], "usage": None, "x": 1.5}


def soon() -> Deadline:
    return Deadline.after(10.0)


def entry(*pages: str) -> CacheEntry:
    return CacheEntry(ANSWER, pages or ("/a",), "g1")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with (
        EmbeddedPostgres(Path(tmp_path_factory.mktemp("cache")) / "home") as server,
        fresh_database(server.url) as url,
        Pool(url, size=8) as pool,
    ):
        yield pool


@pytest.fixture(scope="module")
def redis_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                assert process.poll() is None
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(params=["process", "postgres", pytest.param("redis", marks=pytest.mark.e2e)])
def cache(request: pytest.FixtureRequest) -> Iterator[AnswerCache]:
    if request.param == "process":
        yield ProcessCache(time.monotonic)
    elif request.param == "postgres":
        pool = request.getfixturevalue("database")
        pool.statement("TRUNCATE cached_answers", {}, soon(), "empty")
        yield NeonCache(pool)
    else:
        from shared.adapters.redis import RedisCache

        port = request.getfixturevalue("redis_port")
        made = RedisCache(f"redis://127.0.0.1:{port}", request.node.name)
        yield made
        made.close()


def epoch(cache: AnswerCache) -> int:
    return cache.get("", soon()).epoch


def test_an_answer_is_kept_as_it_was(cache: AnswerCache) -> None:
    """A reader would get an answer that differs from the one that was checked."""
    assert cache.get("k", soon()).payload is None
    assert cache.put("k", entry(), epoch(cache), 60, soon())
    assert cache.get("k", soon()).payload == ANSWER
    assert cache.get("K", soon()).payload is None


def test_an_answer_expires(cache: AnswerCache) -> None:
    """Last month's answer would be given for ever."""
    cache.put("k", entry(), epoch(cache), 60, soon())
    cache.put("k", entry(), epoch(cache), -1, soon())
    assert cache.get("k", soon()).payload is None
    cache.put("short", entry(), epoch(cache), 0.05, soon())
    end = time.monotonic() + 5
    while cache.get("short", soon()).payload is not None:
        assert time.monotonic() < end


def test_a_page_that_changes_takes_its_answers_with_it(cache: AnswerCache) -> None:
    """A reader would be told what the page said before it was corrected."""
    cache.put("one", entry("/a", "/b#x"), epoch(cache), 60, soon())
    cache.put("two", entry("/b#x", "/c'\"{},"), epoch(cache), 60, soon())
    cache.put("three", entry("/d"), epoch(cache), 60, soon())
    assert cache.forget_pages(["/c'\"{},", "/unknown"], soon()) == 1
    assert [cache.get(key, soon()).payload is not None for key in ("one", "two", "three")] == [1, 0, 1]
    assert cache.forget_pages(["/b#x"], soon()) == 1
    assert cache.get("one", soon()).payload is None
    assert cache.forget_pages([], soon()) == 0


def test_an_answer_begun_before_a_change_is_not_kept_after_it(cache: AnswerCache) -> None:
    """An answer from the old page would come into the cache just after the page's answers were dropped."""
    before = epoch(cache)
    cache.forget_pages(["/other"], soon())
    assert epoch(cache) != before
    assert not cache.put("k", entry(), before, 60, soon())
    assert cache.get("k", soon()).payload is None
    assert cache.put("k", entry(), epoch(cache), 60, soon())


def test_many_at_once_never_keep_what_was_forgotten(cache: AnswerCache) -> None:
    """Under load a race would leave an answer of a changed page in the cache."""
    stop = threading.Event()

    def keep(number: int) -> None:
        while not stop.is_set():
            cache.put(f"k{number}", entry(f"/p{number}"), epoch(cache), 60, soon())

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        cache.forget_pages(["/p0", "/p1", "/p2"], soon())
    old = epoch(cache)
    stop.set()
    for thread in threads:
        thread.join()
    cache.forget_pages(["/p0", "/p1", "/p2"], soon())
    assert not cache.put("k0", entry("/p0"), old, 60, soon())
    assert [cache.get(f"k{number}", soon()).payload for number in range(3)] == [None] * 3


def test_the_process_keeps_only_so_many() -> None:
    """An instance would grow until it is killed, taking its readers' streams along."""
    cache = ProcessCache(time.monotonic, most=3)
    for number in range(4):
        cache.put(str(number), entry(), 0, 60, soon())
        cache.get("0", soon())
    assert [cache.get(str(n), soon()).payload is not None for n in range(4)] == [True, False, True, True]


class Switched:
    """A process cache that can be unplugged: stands for any shared store that goes away."""

    def __init__(self) -> None:
        self.inside = ProcessCache(time.monotonic)
        self.down = False

    def _check(self) -> None:
        if self.down:
            raise Unreachable("store", "ask", "unplugged")

    def get(self, key: str, deadline: Deadline) -> Kept:
        self._check()
        return self.inside.get(key, deadline)

    def put(self, key: str, entry: CacheEntry, epoch: int, seconds: float, deadline: Deadline) -> bool:
        self._check()
        return self.inside.put(key, entry, epoch, seconds, deadline)

    def forget_pages(self, urls, deadline: Deadline) -> int:
        self._check()
        return self.inside.forget_pages(urls, deadline)


def test_without_the_shared_store_an_instance_answers_from_its_own_memory() -> None:
    """A question that was answered a minute ago would cost a generation while the store is down."""
    shared = Switched()
    layered = LayeredCache(ProcessCache(time.monotonic), shared, 3600)
    found = layered.find("k", None, soon())
    assert layered.keep("k", entry(), found.epoch, soon())
    shared.down = True
    alone = layered.find("k", None, soon())
    assert alone.payload == ANSWER
    assert not layered.keep("k2", entry(), alone.epoch, soon())
    assert layered.find("k2", None, soon()).payload == ANSWER


def test_a_new_epoch_empties_the_memory_of_every_instance() -> None:
    """An instance that was not told would give the old page's answer when the store is down."""
    shared = Switched()
    one, two = (LayeredCache(ProcessCache(time.monotonic), shared, 3600) for _ in range(2))
    one.keep("k", entry("/a"), one.find("k", None, soon()).epoch, soon())
    assert two.find("k", None, soon()).payload == ANSWER
    shared.forget_pages(["/a"], soon())
    for layered in (one, two):
        assert layered.find("other", None, soon()).payload is None
    shared.down = True
    assert [layered.find("k", None, soon()).payload for layered in (one, two)] == [None, None]


def test_what_the_opening_found_needs_no_second_question() -> None:
    """The cache would cost a round trip beside the one that has its answer already."""
    shared = Switched()
    shared.down = True
    layered = LayeredCache(ProcessCache(time.monotonic), shared, 3600)
    assert layered.find("k", Kept(ANSWER, 7), soon()) == Kept(ANSWER, 7)
    assert layered.find("k", None, soon()).payload == ANSWER


@pytest.mark.e2e
def test_redis_that_is_away_or_no_redis_is_named(redis_port: int) -> None:
    """A question would end in a stack trace, or wait for a cache that is not there."""
    from shared.adapters.redis import RedisCache

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(TimedOut):
            RedisCache(f"redis://127.0.0.1:{port}").get("k", soon())
        assert time.monotonic() - started < 2
    with pytest.raises(Unreachable, match="redis"):
        RedisCache(f"redis://127.0.0.1:{port}").get("k", soon())
    with pytest.raises(TimedOut):
        RedisCache(f"redis://127.0.0.1:{redis_port}").get("k", Deadline.after(0))
