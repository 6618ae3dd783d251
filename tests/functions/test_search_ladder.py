"""The rungs of the search on real services, each behind a proxy that fails as networks do.

Postgres behind TLS, Qdrant's engine, the Gemini adapter against its stand-in, the Cloud Storage adapter
against its stand-in.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from shared.adapters.gcs_http import GcsHttpStore
from shared.adapters.gemini.rest import GeminiEmbedder
from shared.adapters.neon.fulltext import NeonFullText, NeonPassages
from shared.adapters.neon.ledger import NeonLedger
from shared.adapters.neon.pool import Pool
from shared.adapters.neon.run_pages import NeonRunPages, NeonRunTexts
from shared.adapters.neon.runs import NeonRuns
from shared.adapters.neon.url import DatabaseUrl
from shared.adapters.qdrant.admin import QdrantAdmin
from shared.adapters.qdrant.search import QdrantSearch
from shared.answering.guarded import Guards
from shared.answering.search import SearchLadder
from shared.answering.service import LOOKUP_SECONDS
from shared.embedded.fake_gemini import FakeGemini, Fault
from shared.embedded.qdrant import EmbeddedQdrant
from shared.errors import Missing, NoRungHeld
from shared.ingestion.failover import Failover
from shared.ingestion.files import FolderFiles
from shared.ingestion.parts import IndexPorts, Rules
from shared.ingestion.report import Report
from shared.ingestion.run import Ingestion
from shared.ingestion.sources import open_files
from shared.ingestion.steps import Steps
from shared.ports import Condition
from shared.resilience.deadline import Deadline
from shared.resilience.ladder import Held
from shared.retrieval.lifeboat_store import MOST_BYTES, LifeboatStore
from shared.retrieval.results import Retrieval
from shared.wiring.ingestion import Wanted
from tests.contract import neon_servers
from tests.contract.neon_servers import TlsServer
from tests.fakes.gcs import FakeGcs
from tests.faults import FaultProxy
from tests.local_stack import write_site

SECONDS = 3.0
QUESTION = "How cold should apples be stored?"
LINK = "/docs/apples/picking#how-to-store"
FOREIGN = "Which visa do I need for a trip to Japan?"


class Time:
    """The real clock, which a test may put forward."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@dataclass
class Services:
    """Everything that is running, and the site in it."""

    database: DatabaseUrl
    qdrant: str
    gemini: FakeGemini
    gcs: FakeGcs
    site: Path

    def ingest(self, *, failover: bool = True, most_bytes: int = MOST_BYTES) -> Report:
        with ExitStack() as open_parts:
            pool = open_parts.enter_context(Pool(self.database))
            admin = open_parts.enter_context(QdrantAdmin(self.qdrant))
            bucket, ledger = self.bucket(open_parts, self.gcs.endpoint), NeonLedger(pool)
            own = Ingestion(
                IndexPorts(
                    ledger,
                    ledger,
                    NeonRuns(pool),
                    NeonRunPages(pool),
                    NeonRunTexts(pool),
                    admin,
                    admin,
                    bucket,
                ),
                self.embedder(open_parts, self.gemini.base_url),
                Failover(NeonPassages(pool), LifeboatStore(bucket, most_bytes=most_bytes))
                if failover
                else Failover(),
                Rules(),
                Steps(time.monotonic),
                alias="lectern-live",
                clock=time.monotonic,
            )
            run = Wanted(str(self.site), "/docs").run(own.fingerprint)
            return own.run(run, open_files(FolderFiles(self.site), "/docs"))

    def embedder(self, parts: ExitStack, url: str) -> GeminiEmbedder:
        made = GeminiEmbedder("fake-key", "gemini-embedding-001", dimensions=64, base_url=url)
        parts.callback(made.close)
        return made

    def bucket(self, parts: ExitStack, endpoint: str) -> GcsHttpStore:
        client = parts.enter_context(httpx.Client(trust_env=False))
        return GcsHttpStore("lectern-test", endpoint=endpoint, client=client)


def started(folder: Path, tls: TlsServer, parts: ExitStack) -> Services:
    return Services(
        database=parts.enter_context(neon_servers.fresh_database(tls.url())),
        qdrant=parts.enter_context(EmbeddedQdrant(folder / "qdrant")).url,
        gemini=parts.enter_context(FakeGemini()),
        gcs=parts.enter_context(FakeGcs()),
        site=write_site(folder / "site"),
    )


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with neon_servers.tls_server(tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, tls: TlsServer) -> Iterator[Services]:
    """Services that hold the orchard; no test changes what is in them."""
    with ExitStack() as parts:
        services = started(tmp_path_factory.mktemp("ladder"), tls, parts)
        services.ingest()
        yield services


class Instance:
    """One instance of the chat function, with a proxy before each service."""

    def __init__(self, services: Services, parts: ExitStack) -> None:
        host = services.database
        self.services = services
        self.bucket = services.bucket(parts, services.gcs.endpoint)
        self.clock = Time()
        self.neon = self._proxy(parts, "127.0.0.1", host.port)
        self.qdrant = self._proxy(parts, "127.0.0.1", urlsplit(services.qdrant).port)
        self.gemini = self._proxy(parts, "127.0.0.1", services.gemini.port)
        self.gcs = self._proxy(parts, "127.0.0.1", urlsplit(services.gcs.endpoint).port)
        pool = Pool(replace(host, port=self.neon.port), jitter=random.Random(1))
        search = QdrantSearch(f"http://127.0.0.1:{self.qdrant.port}")
        embedder = services.embedder(parts, f"http://127.0.0.1:{self.gemini.port}")
        for one in (pool, search):
            parts.callback(one.close)
        self.guards = Guards.usual(self.clock, random.Random(2))
        self.ladder = SearchLadder(
            search,
            embedder,
            NeonFullText(pool),
            services.bucket(parts, f"http://127.0.0.1:{self.gcs.port}"),
            guards=self.guards,
            clock=self.clock,
        )

    def _proxy(self, parts: ExitStack, host: str, port: int | None) -> FaultProxy:
        assert port
        return parts.enter_context(FaultProxy((host, port)))

    def ask(self, question: str = QUESTION, **options) -> Held[Retrieval]:
        return self.ladder.search(question, Deadline.after(SECONDS), **options)

    def drop(self, *names: str) -> None:
        for name in names:
            getattr(self, name).refuse()
            getattr(self, name).cut_open()


@pytest.fixture
def instance(filled: Services) -> Iterator[Instance]:
    filled.gemini.faults.clear()
    with ExitStack() as parts:
        yield Instance(filled, parts)
    filled.gemini.faults.clear()


def links(held: Held[Retrieval]) -> list[str]:
    return [passage.chunk.link for passage in held.value.passages]


def holds(held: Held[Retrieval], rung: str, *reasons: str) -> None:
    assert (held.rung, held.reasons) == (rung, reasons)
    assert links(held)[0] == LINK
    assert held.value.generation == "g0001"
    assert held.value.decision().answerable


def test_all_is_well(instance: Instance) -> None:
    """Every answer would be marked as degraded."""
    holds(instance.ask(), "hybrid")


EMBEDDING_FAULTS = {
    "unreachable": lambda one: one.drop("gemini"),
    "timed_out": lambda one: one.gemini.black_hole(),
    "overloaded": lambda one: one.services.gemini.faults.always(Fault(status=503)),
    "throttled": lambda one: one.services.gemini.faults.always(Fault(status=429, retry_delay="60s")),
    "access_denied": lambda one: one.services.gemini.faults.always(Fault(status=403)),
    "garbled": lambda one: one.services.gemini.faults.always(Fault(vectors="nan")),
}


@pytest.mark.parametrize("code", EMBEDDING_FAULTS)
def test_without_embeddings_words_are_searched(instance: Instance, code: str) -> None:
    """An outage of the embedding service would take the whole search with it."""
    EMBEDDING_FAULTS[code](instance)
    holds(instance.ask(), "sparse", f"gemini: {code}")


QDRANT_FAULTS: dict[str, tuple[Callable[[FaultProxy], None], str]] = {
    "refused": (lambda proxy: proxy.refuse(), "unreachable"),
    "black hole": (lambda proxy: proxy.black_hole(), "timed_out"),
    "slow": (lambda proxy: proxy.delay(5.0), "timed_out"),
    "reset": (lambda proxy: proxy.cut_after(20), "unreachable"),
    "garbage": (lambda proxy: proxy.garbage(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n}{"), "garbled"),
    "500": (
        lambda proxy: proxy.garbage(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"),
        "overloaded",
    ),
    "429": (
        lambda proxy: proxy.garbage(b"HTTP/1.1 429 Slow\r\nretry-after: 30\r\ncontent-length: 0\r\n\r\n"),
        "throttled",
    ),
    "401": (
        lambda proxy: proxy.garbage(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n"),
        "access_denied",
    ),
    "alias gone": (
        lambda proxy: proxy.garbage(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 25\r\n\r\n"
            b'{"result":{"aliases":[]}}'
        ),
        "missing",
    ),
}


@pytest.mark.parametrize("fault", QDRANT_FAULTS)
def test_without_qdrant_postgres_is_searched(instance: Instance, fault: str) -> None:
    """An outage of Qdrant would leave readers without answers, or make them wait beyond the deadline."""
    make, code = QDRANT_FAULTS[fault]
    make(instance.qdrant)
    began = time.monotonic()
    holds(instance.ask(), "fulltext", f"qdrant: {code}")
    assert time.monotonic() - began < SECONDS
    assert instance.qdrant.connections <= 2  # one try and one retry: the rung below did not ask again


def test_without_embeddings_and_qdrant(instance: Instance) -> None:
    """Two outages at once are common: both may stand in one region."""
    instance.drop("gemini", "qdrant")
    holds(instance.ask(), "fulltext", "qdrant: unreachable")


@pytest.mark.parametrize("fault", ["refuse", "black_hole"])
def test_without_qdrant_and_postgres_the_lifeboat_holds(instance: Instance, fault: str) -> None:
    """With both databases down readers would be sent away, although the docs are in the bucket."""
    for proxy in (instance.qdrant, instance.neon):
        getattr(proxy, fault)()
    began = time.monotonic()
    code = {"refuse": "unreachable", "black_hole": "timed_out"}[fault]
    holds(instance.ask(), "lifeboat", f"qdrant: {code}", f"neon: {code}")
    assert time.monotonic() - began < SECONDS


def test_a_lifeboat_is_fetched_once_and_holds_without_the_bucket(instance: Instance) -> None:
    """Each question would download the whole site, and the bucket's outage would end all answers."""
    instance.drop("qdrant", "neon")
    instance.ask()
    calls = dict(instance.services.gcs.faults.calls)
    for _ in range(5):
        assert instance.ask().rung == "lifeboat"
    assert instance.services.gcs.faults.calls == calls
    instance.drop("gcs")
    instance.clock.ahead += 3600
    assert links(instance.ask())[0] == LINK


def test_nothing_is_left(instance: Instance) -> None:
    """The reader would wait for ever, or be told that the docs do not say."""
    instance.drop("qdrant", "neon", "gcs")
    with pytest.raises(NoRungHeld) as caught:
        instance.ask()
    assert caught.value.reasons == ("qdrant: unreachable", "neon: unreachable", "gcs: unreachable")
    assert caught.value.status == 503


@pytest.mark.parametrize("down", [[], ["gemini"], ["qdrant"], ["qdrant", "neon"]])
def test_what_the_docs_do_not_say_is_declined_on_every_rung(instance: Instance, down: list[str]) -> None:
    """A degraded search would answer with whatever it finds."""
    instance.drop(*down)
    assert not instance.ask(FOREIGN).value.decision().answerable
    assert not instance.ask("xyzzy").value.passages or down in ([], ["gemini"])


def test_all_rungs_by_words_agree(instance: Instance) -> None:
    """The order of passages would depend on what is down, and so would abstaining."""
    questions = [QUESTION, "Set ripening_days for pears", "the west wind and the hive", "cold_room"]
    found = {}
    for rung, down in (("sparse", "gemini"), ("fulltext", "qdrant"), ("lifeboat", "neon")):
        instance.drop(down)
        held = [instance.ask(question) for question in questions]
        assert {one.rung for one in held} == {rung}
        found[rung] = [(links(one)[0], round(one.value.coverage, 6)) for one in held]
    assert found["sparse"] == found["fulltext"] == found["lifeboat"]


@pytest.mark.parametrize("down", [["gemini"], ["qdrant"], ["qdrant", "neon"]])
def test_conditions_hold_on_every_rung(instance: Instance, down: list[str]) -> None:
    """A reader of one version would be answered from another one as soon as something is down."""
    instance.drop(*down)
    pears = Condition("url", ("/docs/pears",))
    assert {link.split("#")[0] for link in links(instance.ask(conditions=(pears,)))} <= {"/docs/pears"}
    none = Condition("version", ("9.9",))
    assert not instance.ask(conditions=(none,)).value.passages


def test_an_open_breaker_spares_the_reader_the_wait_and_closes_by_itself(instance: Instance) -> None:
    """Each reader would wait for the time-out anew; or the site would stay degraded after the outage."""
    instance.qdrant.black_hole()
    for _ in range(3):
        assert instance.ask().reasons == ("qdrant: timed_out",)
    connections, embeddings = instance.qdrant.connections, len(instance.services.gemini.seen)
    for _ in range(20):
        holds(instance.ask(), "fulltext", "qdrant: open")
    assert instance.qdrant.connections == connections
    assert len(instance.services.gemini.seen) == embeddings
    instance.qdrant.heal()
    instance.clock.ahead += 11.0
    holds(instance.ask(), "hybrid")


def test_the_instance_says_on_which_rung_it_stands(instance: Instance) -> None:
    """Readiness would say that all is well while readers get the lifeboat."""
    stand = instance.ladder.live_facts
    assert (stand(Deadline.after(SECONDS)).rung, stand(Deadline.after(SECONDS)).reasons) == ("hybrid", ())
    instance.clock.ahead += 60
    for down, rung in (("qdrant", "fulltext"), ("neon", "lifeboat")):
        instance.drop(down)
        instance.clock.ahead += 60
        held = stand(Deadline.after(SECONDS))
        assert (held.rung, held.value.generation) == (rung, "g0001")


def test_a_lifeboat_has_time_to_arrive_while_all_else_hangs(instance: Instance) -> None:
    """The first readers of an outage would get an error, because the hanging services used up the time in
    which a large lifeboat is fetched.
    """
    instance.qdrant.black_hole()
    instance.neon.black_hole()
    instance.gcs.delay(0.3)  # four answers, each in two pieces
    assert instance.ladder.live_facts(Deadline.after(LOOKUP_SECONDS)).rung == "lifeboat"


# ---------------------------------------------------------------- what ingestion leaves


@pytest.fixture
def own(tmp_path: Path, tls: TlsServer) -> Iterator[Instance]:
    """Services of the test's own, with nothing in them yet."""
    with ExitStack() as parts:
        yield Instance(started(tmp_path, tls, parts), parts)


def texts(held: Held[Retrieval]) -> str:
    return "\n".join(passage.chunk.text for passage in held.value.passages)


def test_nothing_was_ingested(own: Instance) -> None:
    """A newcomer would be told of an outage instead of what to do."""
    with pytest.raises(Missing, match="lectern ingest"):
        own.ask()


@pytest.mark.parametrize("down", [["qdrant"], ["qdrant", "neon"]])
def test_what_changed_on_the_site_changes_on_the_lower_rungs(own: Instance, down: list[str]) -> None:
    """In an outage readers would get what the site said long ago, removed pages too."""
    own.services.ingest()
    pears = own.services.site / "pears.md"
    pears.write_text(pears.read_text().replace("`ripening_days` to 7", "`ripening_days` to 11"))
    (own.services.site / "bees.mdx").unlink()
    report = own.services.ingest()
    assert (report.generation, report.warnings) == ("g0001", ())
    own.drop(*down)
    assert "`ripening_days` to 11" in texts(own.ask("How many ripening_days do Conference pears need?"))
    assert "west wind" not in texts(own.ask("Where to turn the hive's entrance in the west wind?"))


def test_a_site_that_outgrew_the_lifeboat_leaves_no_old_one(own: Instance) -> None:
    """In an outage readers would get pages that were removed long ago, and every run would call it done."""
    own.services.ingest()
    (own.services.site / "bees.mdx").unlink()
    report = own.services.ingest(most_bytes=1000)
    [said] = report.warnings
    assert "fit in an instance" in said
    assert "the one before was withdrawn" in said
    own.drop("qdrant", "neon")
    with pytest.raises(NoRungHeld):
        own.ask("Where to turn the hive's entrance in the west wind?")


def test_an_index_from_before_there_was_a_failover_gets_one(own: Instance) -> None:
    """A site that does not change would have no lower rungs for ever."""
    own.services.ingest(failover=False)
    own.services.ingest()
    own.drop("qdrant")
    holds(own.ask(), "fulltext", "qdrant: unreachable")
    own.drop("neon")
    assert own.ask().rung == "lifeboat"


def test_an_unchanged_site_writes_no_lifeboat(own: Instance) -> None:
    """Every nightly run would upload the whole site again."""
    own.services.ingest()
    calls = own.services.gcs.faults.calls["insert"]
    own.services.ingest()
    assert own.services.gcs.faults.calls["insert"] == calls


def test_a_lifeboat_that_cannot_be_written_does_not_stop_ingestion(own: Instance) -> None:
    """Readers would not get the new pages because a spare part could not be written."""
    own.services.gcs.faults.answer("initiate", 503, times=1)
    report = own.services.ingest()
    (warning,) = report.warnings
    assert warning.startswith("the lifeboat was not written: gcs: ")
    assert own.ask().rung == "hybrid"
    assert own.services.ingest().warnings == ()
    own.drop("qdrant", "neon")
    assert own.ask().rung == "lifeboat"


def test_a_damaged_lifeboat_is_not_boarded(own: Instance) -> None:
    """Half a file would be taken for the whole documentation."""
    own.services.ingest()
    store, soon = own.bucket, neon_servers.soon()
    (boat,) = [one.name for one in store.list("lifeboats/g", soon)]
    data, _ = store.get(boat, soon)
    own.drop("qdrant", "neon")
    for damaged in (data[:-100], data[:50] + b"\x00" + data[51:], b""):
        store.put(boat, damaged, soon)
        own.clock.ahead += 60
        with pytest.raises(NoRungHeld, match="lifeboat: corrupt"):
            own.ask()
    fetched = own.services.gcs.faults.calls["media"]
    with pytest.raises(NoRungHeld, match="lifeboat: corrupt"):
        own.ask()
    assert own.services.gcs.faults.calls["media"] == fetched + 1  # the pointer, not the damaged file again
    store.put(boat, data, soon)
    own.clock.ahead += 60
    assert own.ask().rung == "lifeboat"


def test_a_new_lifeboat_is_boarded(own: Instance) -> None:
    """An instance that lives for days would answer from the first lifeboat it met."""
    own.services.ingest()
    own.drop("qdrant", "neon")
    assert own.ask().rung == "lifeboat"
    pears = own.services.site / "pears.md"
    pears.write_text(pears.read_text().replace("`ripening_days` to 7", "`ripening_days` to 11"))
    own.services.ingest()
    own.clock.ahead += 31
    assert "`ripening_days` to 11" in texts(own.ask("How many ripening_days do Conference pears need?"))
