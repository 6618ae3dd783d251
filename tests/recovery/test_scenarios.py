"""The handbook's recovery pages: damage is done for real, the page's commands are run as they stand, and a
question is answered again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from shared import settings
from shared.embedded.key_file import make_key_file
from shared.ingestion.front_matter import split_front_matter
from shared.ports import Condition
from shared.settings import ROOT
from shared.wiring.parts import Parts
from shared.wiring.stack import services
from tests.local_stack import write_site
from tests.recovery_points import soon

PAGES = ROOT / "docs" / "recovery"
QUESTION = "How cold should apples be stored?"
LINK = "/docs/apples/picking#how-to-store"
BIN = Path(sys.executable).parent
FINDS = {"lectern repair --plan\n"}
"""Commands that end with 1, because they find what was lost."""


def blocks(page: str) -> list[str]:
    """The commands of a page, in order."""
    _, body = split_front_matter((PAGES / page).read_text(encoding="utf-8"), page)
    return [token.content for token in MarkdownIt("commonmark").parse(body) if token.info == "bash"]


@dataclass
class Place:
    """A folder in which an operator stands, with what the environment says."""

    folder: Path
    environ: dict[str, str]

    @property
    def home(self) -> Path:
        return self.folder / ".lectern"

    def run(self, commands: str, *, code: int = 0) -> str:
        """Run a block in a new shell; what it printed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == code, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def follow(self, page: str) -> str:
        """Run every command of a page; what they printed."""
        return "\n".join(self.run(block, code=int(block in FINDS)) for block in blocks(page))

    def answer(self) -> dict:
        """What the question is answered with now, be it that the docs do not say (exit code 3)."""
        return json.loads(self.run(f'lectern ask "{QUESTION}" --json || test $? -eq 3'))


def is_whole(answer: dict) -> bool:
    """Whether it came from Qdrant and leads to the right place. On a machine under load the model for vectors
    may come too late.
    """
    links = [one["url"] for one in answer["citations"]]
    return answer["rung"] in {"hybrid", "sparse"} and links[:1] == [LINK]


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stack that holds the orchard, was asked something, and was backed up and copied."""
    folder = tmp_path_factory.mktemp("scenario")
    make_key_file(folder / "backup.key")
    write_site(folder / "site")
    place = Place(folder, environ_of(folder))
    place.run(f'lectern ingest site --base-url /docs; lectern ask "{QUESTION}"; lectern backup')
    return folder


def environ_of(folder: Path) -> dict[str, str]:
    return {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LECTERN_BACKUP_KEY_FILE": str(folder / "backup.key"),
        "LECTERN_CACHE_SECONDS": "0",  # an answer from before the loss would prove nothing
        "LECTERN_BACKUP_COPY_BUCKET": (folder / "second").as_uri(),
    }


@pytest.fixture
def place(backed_up: Path, tmp_path: Path) -> Place:
    # Not shutil: the database's files belong to an account of its own.
    subprocess.run(["cp", "-a", str(backed_up), str(tmp_path / "here")], check=True)
    return Place(tmp_path / "here", environ_of(tmp_path / "here"))


def lose_a_page(place: Place) -> None:
    with services(settings.load({}, home=str(place.home))) as ready, Parts(ready.settings) as parts:
        live = parts.vector_search.aliases(soon())[ready.settings.qdrant_alias]
        gone = [Condition("url", ("/docs/apples/picking",))]
        before = parts.vector_bulk.count(live, soon())
        parts.vector_admin.delete(live, soon(), conditions=gone)
        assert parts.vector_bulk.count(live, soon()) < before


def lose_qdrant(place: Place) -> None:
    shutil.rmtree(place.home / "qdrant")


def damage_postgres(place: Place) -> None:
    for file in sorted((place.home / "postgres").rglob("pg_control")):
        file.write_bytes(os.urandom(file.stat().st_size))


def lose_the_application(place: Place) -> None:
    """A server that is killed outright while it serves."""
    process = subprocess.Popen(
        [str(BIN / "lectern"), "run", "--port", "0", "--no-ingest"],
        cwd=place.folder,
        env=place.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    for line in process.stdout:
        if "Lectern answers at" in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def lose_the_region(place: Place) -> None:
    shutil.rmtree(place.home)


@pytest.mark.parametrize(
    ("page", "lose", "answers_meanwhile"),
    [
        ("partial-loss.md", lose_a_page, True),
        ("qdrant-lost.md", lose_qdrant, True),
        ("postgres-damaged.md", damage_postgres, False),
        ("application-lost.md", lose_the_application, True),
        ("region-lost.md", lose_the_region, False),
    ],
)
def test_a_page_brings_back_what_was_lost(
    place: Place, page: str, lose: Callable[[Place], None], answers_meanwhile: bool
) -> None:
    """An operator in trouble would type commands that fail, or that say success and bring back nothing."""
    assert blocks(page)
    lose(place)
    if answers_meanwhile and page != "application-lost.md":
        assert not is_whole(place.answer())
    place.follow(page)
    assert is_whole(place.answer())


def test_the_command_of_the_restore_page_fills_an_empty_machine(place: Place) -> None:
    """An operator who lost everything but bucket and key would not be back with one command."""
    shutil.rmtree(place.home)
    place.environ["LECTERN_BACKUP_BUCKET"] = place.environ.pop("LECTERN_BACKUP_COPY_BUCKET")
    first = blocks("restore.md")[0]
    assert first == "lectern restore --latest\n"
    assert "Restored and verified from" in place.run(first)
    assert is_whole(place.answer())
