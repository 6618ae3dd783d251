"""Backups from outside: two functions, their jobs, and the command line, on the real stack."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from shared.cli.main import main
from shared.embedded.key_file import make_key_file
from shared.recovery import sealed
from shared.recovery.streams import check_object
from shared.resilience.deadline import Deadline
from shared.settings import ROOT, Settings
from shared.wiring import backup
from shared.wiring.parts import Parts
from shared.wiring.point_cipher import point_cipher
from tests.local_stack import Served, environment, function

SCHEDULED = {"X-CloudScheduler-ScheduleTime": "2026-02-01T03:00:00Z"}


def soon() -> Deadline:
    return Deadline.after(30.0)


@pytest.fixture(scope="module")
def keyed(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of functions that encrypt, with a bucket of their own for points."""
    folder = tmp_path_factory.mktemp("backup")
    make_key_file(folder / "key")
    own = {
        "LECTERN_BACKUP_KEY_FILE": str(folder / "key"),
        "LECTERN_BACKUP_BUCKET": (folder / "bucket").as_uri(),
        "LECTERN_HOME": str(folder / "home"),
        "LECTERN_CALLER_MODE": "open",
        "LECTERN_RELEASE": "r1-abc",
    }
    return environment(stack, **own)


@pytest.fixture(scope="module")
def neon(keyed: dict[str, str]) -> Iterator[Served]:
    with function("backup_neon", keyed) as client:
        yield client


@pytest.fixture(scope="module")
def qdrant(keyed: dict[str, str]) -> Iterator[Served]:
    with function("backup_qdrant", keyed) as client:
        yield client


def loaded(environ: dict[str, str]) -> Settings:
    from shared import settings

    return settings.load(environ)


def check_whole(environ: dict[str, str], point: str) -> sealed.Manifest:
    own = loaded(environ)
    cipher = point_cipher(own, point)
    with Parts(own) as parts:
        manifest = sealed.read_manifest(parts.point_store, point, cipher, soon())
        for record in manifest.parts.values():
            for entry in record.objects:
                check_object(parts.point_store, entry, cipher, soon())
    return manifest


def test_two_scheduled_functions_make_one_point(neon: Served, qdrant: Served, keyed: dict[str, str]) -> None:
    """Cloud Scheduler would call both every night, and there would be no recovery point."""
    first = neon.post("/backup/neon", headers=SCHEDULED)
    assert (first.status_code, first.json()["state"], first.json()["needs"]) == (200, "waiting", "qdrant")
    second = qdrant.post("/backup/qdrant", headers=SCHEDULED)
    assert (second.status_code, second.json()["state"]) == (200, "committed"), second.text
    assert second.json()["encrypted"]
    again = neon.post("/backup/neon", headers=SCHEDULED)
    assert (again.status_code, again.json()["state"]) == (200, "committed")
    manifest = check_whole(keyed, "20260201T030000Z")
    assert set(manifest.parts) == {"neon", "qdrant", "config"}
    assert manifest.parts["qdrant"].facts(dict)["points"] > 0
    assert manifest.release == "r1-abc"


def test_a_forced_run_names_its_point(neon: Served) -> None:
    """An operator could not join a part that failed to its point."""
    made = neon.post("/backup/neon", json={"point": "20260202T030000Z"})
    assert made.json()["point"] == "20260202T030000Z"
    wrong = neon.post("/backup/neon", json={"point": "../x"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "bad_point_id")
    unknown = neon.post("/backup/neon", json={"pt": "x"})
    assert unknown.status_code == 400


def test_what_outlasts_a_request_becomes_a_job(keyed: dict[str, str]) -> None:
    """A large database would be cut off in the middle of its backup, night after night."""
    point = "20260203T030000Z"
    environ = {**keyed, "LECTERN_BACKUP_REQUEST_SECONDS": "0"}
    for part in ("neon", "qdrant"):
        with function(f"backup_{part}", environ) as client:
            answer = client.post(f"/backup/{part}", json={"point": point})
            assert answer.status_code == 202, answer.text
            assert answer.json()["state"] == "started"
            with Parts(loaded(environ)) as parts:
                ended = waited(parts, answer.json()["job"])
            assert ended == "succeeded"
    check_whole(keyed, point)


def waited(parts: Parts, name: str) -> str:
    end = time.monotonic() + 60
    while (state := parts.jobs.execution(name, soon()).state) == "running" and time.monotonic() < end:
        time.sleep(0.1)
    return state


def test_an_ingestion_between_the_parts_is_noticed(
    neon: Served, qdrant: Served, keyed: dict[str, str]
) -> None:
    """A point would hold vectors of pages that its database does not know, and nobody would cut it again."""
    point = "20260204T030000Z"
    neon.post("/backup/neon", json={"point": point})
    with Parts(loaded(keyed)) as parts:
        before = parts.ledger_clock.version(soon())
        live = next(one for one in parts.ledger.generations(soon()) if one.status == "live")
        parts.ledger.save_pages(live.id, list(parts.ledger.pages(live.id, soon()).values()), soon())
        assert parts.ledger_clock.version(soon()) == before + 1
        answer = qdrant.post("/backup/qdrant", json={"point": point}).json()
        assert (answer["state"], answer["needs"]) == ("differs", "neon"), answer
        job = next(line["job"] for line in reversed(qdrant.lines()) if line.get("job"))
        assert waited(parts, job) == "succeeded"
    assert check_whole(keyed, point).ledger_version == before + 1


def test_the_command_makes_a_point_and_says_so(stack: Settings, keyed: dict[str, str]) -> None:
    """An operator would not know what is in a backup, nor what to do next."""
    runner = CliRunner(env={**keyed, "LECTERN_BACKUP_KEY_FILE": ""})
    made = runner.invoke(main, ["backup", "--point", "20260205T030000Z"], catch_exceptions=False)
    assert made.exit_code == 0, made.output
    assert "Recovery point 20260205T030000Z is whole (not encrypted" in made.stdout
    assert "Next: lectern verify 20260205T030000Z" in made.stdout
    half = runner.invoke(main, ["backup", "--point", "20260206T030000Z", "--part", "neon"])
    assert "is not whole yet: part qdrant is not there yet" in half.stdout
    assert "Next: lectern backup --point 20260206T030000Z --part qdrant" in half.stdout
    rest = runner.invoke(main, ["backup", "--point", "20260206T030000Z", "--json"])
    assert json.loads(rest.stdout.splitlines()[-1])["state"] == "committed"
    wrong = runner.invoke(main, ["backup", "--point", "tomorrow"])
    assert wrong.exit_code == 1
    assert "does not name a recovery point" in wrong.stderr


def test_a_point_is_unpacked_for_psql(keyed: dict[str, str], tmp_path: Path) -> None:
    """Whoever has an encrypted backup and no Lectern that runs could not restore it."""
    runner = CliRunner(env=keyed)
    assert runner.invoke(main, ["backup", "--point", "20260207T030000Z"]).exit_code == 0
    made = runner.invoke(main, ["unpack", str(tmp_path / "out"), "20260207T030000Z"], catch_exceptions=False)
    assert made.exit_code == 0, made.output
    script = (tmp_path / "out" / "restore.sql").read_text()
    (pages,) = (tmp_path / "out" / "tables").glob("*-public.pages.copy")
    assert f"from 'tables/{pages.name}'" in script
    assert "apples/picking" in pages.read_text()
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0
    again = runner.invoke(main, ["unpack", str(tmp_path / "out")])
    assert again.exit_code == 1
    assert "is not empty" in again.stderr


def test_a_pooled_address_is_past_its_pooler(keyed: dict[str, str]) -> None:
    """A backup on Neon would be refused until somebody finds the setting."""
    pooled = "postgresql://u:p%40-pooler@ep-x-1-pooler.eu.aws.neon.tech/app?sslmode=require"
    own = loaded({**keyed, "DATABASE_URL": pooled})
    address, name = backup.direct_address(own)
    assert address == "postgresql://u:p%40-pooler@ep-x-1.eu.aws.neon.tech/app?sslmode=require"
    assert name == "DATABASE_URL"
    direct = loaded({**keyed, "DATABASE_URL": pooled, "DATABASE_DIRECT_URL": "postgresql://u:p@h/app"})
    assert backup.direct_address(direct) == ("postgresql://u:p@h/app", "DATABASE_DIRECT_URL")


def test_a_bad_key_ends_the_function_at_its_start(keyed: dict[str, str], tmp_path: Path) -> None:
    """The mistake would be found by the first backup, at night."""
    (tmp_path / "key").write_text("nonsense")
    (tmp_path / "key").chmod(0o600)
    program = "import functions.backup_neon"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**keyed, "LECTERN_BACKUP_KEY_FILE": str(tmp_path / "key")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "backup_key_file" in done.stderr
