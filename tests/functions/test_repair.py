"""A damaged index on the real ledger, engine and model: found, and made whole from what is nearest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from shared import settings
from shared.cli.main import main
from shared.errors import Missing
from shared.ports import PackedPoint, PackedSparse
from shared.recovery.commit import Provenance, settle
from shared.recovery.point import PartRecord
from shared.recovery.sealed import write_record
from shared.recovery.vectors_check import count_collection
from shared.resilience.deadline import Deadline
from shared.retrieval.chunks import STATISTICS_ID
from shared.retrieval.layout import DENSE, PASSAGES
from shared.settings import Settings
from shared.wiring import ingestion, repair, vectors
from shared.wiring.parts import Parts
from shared.wiring.stack import services
from tests.local_stack import ORCHARD, SECONDS, environment, write_site

POINT = "20261125T030000Z"


def soon() -> Deadline:
    return Deadline.after(SECONDS)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("repair")
    with services(settings.load({}, home=str(home), embedder="local")) as ready:
        yield ready.settings


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_site(tmp_path / "site", {**ORCHARD, "table.md": TABLE})


TABLE = """---
title: Prices
---

Prices of this autumn by weight, per kilogram and per crate, at the gate of the orchard.

| fruit | price |
|-------|-------|
| apple | 2     |
| pear  | 3     |

They hold until the end of October, unless it freezes before.
"""


@pytest.fixture
def index(stack: Settings, site: Path, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """The site, ingested behind an alias of this test's own."""
    own = replace(stack, qdrant_alias=f"r{abs(hash(request.node.name)) % 10**8}-live")
    _forget(own)
    ingestion.run(own, site, "/docs")
    yield own
    _forget(own)


def _forget(own: Settings) -> None:
    with Parts(own) as parts:
        for one in parts.ledger.generations(soon()):
            parts.ledger.forget_generation(one.id, soon())


def digest(own: Settings) -> str:
    with Parts(own) as parts:
        return count_collection(parts.vector_bulk, own.qdrant_alias, vectors.patient(soon())).digest


def points(own: Settings, *words: str) -> list[PackedPoint]:
    """Points of the index whose text holds one of the words; all but the reserved one without words."""
    with Parts(own) as parts:
        page = parts.vector_bulk.read(own.qdrant_alias, soon(), limit=1000)
    passages = [point for point in page.points if point.id != STATISTICS_ID]
    return [one for one in passages if not words or any(word in one.payload["text"] for word in words)]


def lose(own: Settings, *words: str) -> int:
    gone = points(own, *words)
    with Parts(own) as parts:
        parts.vector_bulk.delete(own.qdrant_alias, [point.id for point in gone], soon())
    return len(gone)


def put(own: Settings, *changed: PackedPoint) -> None:
    with Parts(own) as parts:
        parts.vector_bulk.write(own.qdrant_alias, changed, soon())


def cut_point(own: Settings) -> PartRecord:
    """A recovery point of the index; its other part is a record without objects."""
    with Parts(own) as parts:
        record = vectors.export(parts, None)(POINT, "a-1", soon())
        at = datetime.now(UTC)
        neon = PartRecord(
            part="neon", point=POINT, attempt="a-1", ledger_version=record.ledger_version,
            snapshot_at=at, finished_at=at, objects=(),
        )  # fmt: skip
        for one in (record, neon):
            write_record(parts.point_store, one, None, soon())
        assert (
            settle(parts.point_store, POINT, None, soon(), now=at, provenance=Provenance()).state
            == "committed"
        )
    return record


# ------------------------------------------------------------ nothing wrong


def test_a_whole_index_is_left_alone(index: Settings) -> None:
    """A repair by way of precaution would cost calls and change answers."""
    before = digest(index)
    report = repair.repair(index)
    assert report.healthy
    assert report.repaired is None
    assert report.found.inspection.checked == len(points(index))
    assert digest(index) == before


def test_before_the_first_ingestion_it_says_what_to_do(index: Settings) -> None:
    """An operator would look for damage where nothing was indexed."""
    _forget(index)
    with pytest.raises(Missing, match="lectern ingest"):
        repair.repair(index)


# ------------------------------------------------------------ points


@pytest.mark.parametrize("words", [("price",), ()])
def test_lost_points_are_made_again_from_postgres(
    index: Settings, site: Path, words: tuple[str, ...]
) -> None:
    """Passages would be found by words alone, or not at all, until somebody has the site at hand."""
    before = digest(index)
    lost = lose(index, *words)
    shutil.rmtree(site)
    report = repair.repair(index)
    assert len(report.found.inspection.missing) == lost > 0
    assert report.repaired
    assert report.repaired.from_postgres == lost
    assert report.repaired.left == ()
    assert report.healthy
    assert digest(index) == before


def test_only_the_pages_that_are_damaged_are_embedded(index: Settings) -> None:
    """Repairing one passage would cost as much as ingesting the site."""
    lose(index, "twist")
    report = repair.repair(index)
    assert report.repaired
    assert 0 < report.repaired.embedded <= 3


def test_what_a_recovery_point_has_is_not_embedded(index: Settings) -> None:
    """A large loss would cost a large bill, with the vectors lying in the bucket."""
    before = digest(index)
    cut_point(index)
    lost = lose(index)
    report = repair.repair(index, point="latest")
    assert report.repaired
    assert (report.repaired.from_point, report.repaired.embedded) == (lost, 0)
    assert report.healthy
    assert digest(index) == before


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"text": "Pick a Bramley in May."}, "not the one that it was made of"),
        ({"title": "Oranges"}, "weights of its words"),
        ({"headings": 7}, "has a wrong"),
    ],
)
def test_a_payload_that_was_changed_is_found(index: Settings, change: dict, problem: str) -> None:
    """A reader would be shown words, as a quote, that the docs never said."""
    before = digest(index)
    (one,) = points(index, "twist")
    put(index, replace(one, payload={**one.payload, **change}))
    report = repair.repair(index)
    (finding,) = report.found.inspection.altered
    assert problem in finding.problem
    assert report.healthy
    assert digest(index) == before


@pytest.mark.parametrize("damage", ["other words", "no dense"])
def test_vectors_that_were_changed_are_found(index: Settings, damage: str) -> None:
    """A passage would be there and never be found."""
    before = digest(index)
    (one,) = points(index, "twist")
    given = dict(one.vectors)
    if damage == "other words":
        given[PASSAGES] = PackedSparse(b"\1\0\0\0", b"\0\0\x80\x3f")
    else:
        del given[DENSE]
    put(index, replace(one, vectors=given))
    report = repair.repair(index)
    assert [finding.id for finding in report.found.inspection.altered] == [one.id]
    assert report.healthy
    assert digest(index) == before


def test_what_the_ledger_does_not_know_is_removed(index: Settings) -> None:
    """A page that was taken from the site would be quoted for ever."""
    before = digest(index)
    (one,) = points(index, "twist")
    strange = [
        PackedPoint(
            "00000000-0000-4000-8000-000000000001", one.vectors, {**one.payload, "url": "/docs/gone"}
        ),
        PackedPoint("00000000-0000-4000-8000-000000000002", one.vectors, one.payload),
        PackedPoint("00000000-0000-4000-8000-000000000003", {}, {}),
    ]
    put(index, *strange)
    with Parts(index) as parts:
        version = parts.ledger_clock.version(soon())
        report = repair.repair(index)
        assert parts.ledger_clock.version(soon()) > version, "a backup could go on with what it read before"
    assert {finding.id for finding in report.found.inspection.extra} == {point.id for point in strange}
    assert report.healthy
    assert digest(index) == before


def test_the_reserved_point_comes_back(index: Settings) -> None:
    """Without the statistics no question is answered from the index at all."""
    before = digest(index)
    with Parts(index) as parts:
        parts.vector_bulk.delete(index.qdrant_alias, [STATISTICS_ID], soon())
    report = repair.repair(index)
    assert report.found.reserved_problem
    assert report.healthy
    assert digest(index) == before


# ------------------------------------------------------------ passages in Postgres


@pytest.mark.parametrize("harm", ["altered", "all lost", "facts lost"])
def test_passages_in_postgres_are_made_again_from_the_index(index: Settings, harm: str) -> None:
    """Readers would get nothing, or something else, the day that Qdrant is away."""
    statements = {
        "altered": "UPDATE passages SET body = 'Pick in May.' WHERE body LIKE '%twist%'",
        "all lost": "DELETE FROM passages",
        "facts lost": "DELETE FROM lexical_facts",
    }
    with Parts(index) as parts:
        live = repair_generation(parts)
        before = parts.passage_store.read(live, soon())
        parts._pool.statement(statements[harm], {}, soon(), "do harm")
        report = repair.repair(index)
        assert not report.found.healthy
        assert report.healthy
        assert parts.passage_store.read(live, soon()) == before
        assert parts.passage_store.count(live, soon()) == len(before)


def repair_generation(parts: Parts) -> str:
    return next(one.id for one in parts.ledger.generations(soon()) if one.status == "live")


def test_what_both_have_lost_is_read_from_the_site(index: Settings, site: Path) -> None:
    """A page would be gone for good, though it stands in the docs."""
    before = digest(index)
    lose(index, "twist")
    with Parts(index) as parts:
        parts._pool.statement("DELETE FROM passages WHERE body LIKE '%twist%'", {}, soon(), "do harm")
    report = repair.repair(index)
    assert report.repaired
    assert len(report.repaired.left) == 1
    assert not report.healthy
    said: list[str] = []
    done = repair.from_site(index, report, "", "", writing=lambda _done, _total: None, say=said.append)
    assert done.healthy
    assert str(site) in said[0]
    assert digest(index) == before


# ------------------------------------------------------------ looking, and going on


def test_looking_changes_nothing(index: Settings) -> None:
    """Who only wants to know what is wrong would change it."""
    lose(index, "twist")
    damaged = digest(index)
    with Parts(index) as parts:
        version = parts.ledger_clock.version(soon())
        report = repair.repair(index, only_look=True)
        assert parts.ledger_clock.version(soon()) == version
    assert not report.healthy
    assert report.repaired is None
    assert digest(index) == damaged


def test_a_repair_that_was_stopped_leaves_nothing_that_looks_whole(index: Settings, site: Path) -> None:
    """Half of a page would be missing for ever: the ledger says that all is well."""
    before = digest(index)
    lose(index)

    class Stop(Exception):
        """Ends the repair, as a kill would."""

    def stop(what: str, _done: int, _total: int) -> None:
        if what == "repairing":
            raise Stop

    with pytest.raises(Stop):
        repair.repair(index, progress=stop)
    found = repair.repair(index, only_look=True).found.inspection
    assert found.pending
    ingestion.run(index, site, "/docs")
    assert repair.repair(index, only_look=True).healthy
    assert digest(index) == before


def test_ingestion_sees_lost_points_by_itself(index: Settings, site: Path) -> None:
    """A page whose points were lost would stay lost as long as its file does not change."""
    before = digest(index)
    lose(index, "twist", "Ripening")
    said: list[str] = []
    report = ingestion.run(index, site, "/docs", on_refused=said.append)
    assert digest(index) == before
    assert report.unchanged == report.pages
    assert any("damaged" in line for line in said)


def test_ingestion_does_not_take_an_unfinished_restore_for_the_index(index: Settings, site: Path) -> None:
    """A restore that was killed would be switched to by the next nightly run."""
    with Parts(index) as parts:
        live = repair_generation(parts)
        collection = f"{index.qdrant_alias.removesuffix('-live')}-{live}"
        setup = parts.vector_bulk.facts(collection, soon())
        kept = points(index)[:3]
        parts.vector_admin.drop(collection, soon())
        parts.vector_bulk.create(collection, setup, soon())
        parts.vector_bulk.write(collection, kept, soon())
    ingestion.run(index, site, "/docs")
    with Parts(index) as parts:
        assert repair.repair(index, only_look=True).healthy
        assert parts.vector_bulk.aliases(soon())[index.qdrant_alias] in {collection, f"{collection[:-1]}2"}


# ------------------------------------------------------------ the command


def test_the_command_says_what_was_wrong_and_what_was_done(
    index: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator at night would have to guess."""
    for name, value in environment(index, LECTERN_QDRANT_ALIAS=index.qdrant_alias).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LECTERN_EMBEDDER", "local")
    lose(index, "twist")
    looked = CliRunner().invoke(main, ["repair", "--plan"])
    assert looked.exit_code == 1
    assert "missing: /docs/apples/picking" in looked.stdout
    assert "not whole" in looked.stdout
    done = CliRunner().invoke(main, ["repair", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["healthy"] is True
    assert len(told["missing"]) == told["repaired"]["from_postgres"] == 1
    again = CliRunner().invoke(main, ["repair"])
    assert "Nothing is missing or damaged." in again.stdout
    assert CliRunner().invoke(main, ["repair", "--plan"]).exit_code == 0


def test_the_model_of_the_index_alone_makes_its_vectors(index: Settings) -> None:
    """Vectors of another model would stand among the old ones and find the wrong pages."""
    lose(index, "twist")
    report = repair.repair(replace(index, embedder="none"))
    assert report.repaired
    assert report.repaired.from_postgres == 0
    assert len(report.repaired.left) == 1
    assert not points(index, "twist")
