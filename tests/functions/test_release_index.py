"""What a release must fit to, on the real stack: generations of the index, and the schema of the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.adapters.neon.migrate import FOLDER
from shared.delivery.compatibility import Migration, unsafe
from shared.delivery.platform_file import load_platform
from shared.resilience.deadline import Deadline
from shared.settings import ROOT, Settings
from shared.wiring import chat, ingest
from shared.wiring.parts import Parts
from shared.wiring.release_index import LedgerIndex, code_of, migrations, pending
from tests.local_stack import SECONDS, filled_stack, write_site


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A stack whose index was built twice: with vectors, and then by words alone."""
    folder = tmp_path_factory.mktemp("releases")
    site = write_site(folder / "site")
    with filled_stack(folder / "home", site) as made:
        ingest.run(replace(made, embedder="none"), site, "/docs")
        yield made


def soon() -> Deadline:
    return Deadline.after(SECONDS)


def test_readers_go_back_to_the_generation_that_a_release_reads(ready: Settings) -> None:
    """Code that was taken back would search an index of another model."""
    with Parts(ready) as parts:
        index = LedgerIndex(parts)
        before = index.look(soon())
        assert before.live == "g0002"
        assert set(before.fingerprints) == {"g0001", "g0002"}
        assert before.fingerprints["g0001"] != before.fingerprints["g0002"]
        index.switch("g0001", soon())
        assert index.look(soon()).live == "g0001"
        answer = chat.service(parts).ask(chat.question("How cold should apples be stored?", ready), soon())
        assert (answer.generation, answer.kind) == ("g0001", "extractive")


def test_a_release_knows_what_its_code_needs(ready: Settings) -> None:
    """A build, which has no Gemini key, would think that the functions make no vectors."""
    environment = load_platform("staging", ROOT / "config")
    with Parts(ready) as parts:
        code = code_of(parts, environment, soon())
        assert code.schema == code.database == migrations()[-1].name
        assert not pending(parts, soon())
    with Parts(replace(ready, embedder="none")) as parts:
        without = code_of(parts, environment, soon())
    with Parts(replace(ready, embedder="auto")) as parts:
        built = code_of(parts, environment, soon())
    assert len({code.fingerprint, without.fingerprint, built.fingerprint}) == 3


def test_our_own_migrations_take_nothing_away() -> None:
    """The next release could not be rolled back, or would break the code that readers are on."""
    own = [Migration(path.stem, path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.sql"))]
    assert own
    assert unsafe(own, "") == []


@pytest.mark.parametrize(
    ("sql", "stable", "said"),
    [
        ("DROP TABLE answers;", "", "drops something"),
        ("ALTER TABLE answers DROP COLUMN kind;", "", "drops something"),
        ("ALTER TABLE answers RENAME COLUMN kind TO sort;", "", "renames something"),
        ("ALTER TABLE answers ALTER COLUMN kind TYPE integer;", "", "changes the type"),
        ("ALTER TABLE answers ALTER COLUMN kind SET NOT NULL;", "", "forbids NULL"),
        ("-- contract: 0006\nDROP TABLE old;", "0005_more", "apply it a release later"),
        ("-- contract: 0006\nDROP TABLE old;", "0006_most", ""),
        ("-- contract: 0006\nDROP TABLE old;", "", ""),
        ("CREATE TABLE fresh (note text DEFAULT 'drop table it'); -- DROP TABLE it", "", ""),
        ("DROP INDEX slow;", "", ""),
    ],
)
def test_what_a_migration_takes_away_is_seen(sql: str, stable: str, said: str) -> None:
    """A migration would take a column from code that readers are on."""
    found = unsafe([Migration("0099_next", sql)], stable)
    assert bool(found) == bool(said)
    assert all(said in line for line in found)
