"""Recovery points between Debian's own Postgres (15 on bookworm) and the embedded one (18), both ways.

Needs Postgres from apt: ``apt-get install postgresql``.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from shared.embedded.folder import FolderStore
from shared.embedded.key_file import KeyFile, make_key_file
from shared.embedded.postgres import EmbeddedPostgres
from shared.embedded.postgres.account import child_setup, give, server_account
from shared.errors import DependencyError
from shared.recovery.crypto import PointCipher
from shared.recovery.neon_part import Files, NeonFacts
from tests.contract.neon.test_export_import import ODD, POINT, Database, digests, exported, fresh, restored

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class SystemPostgres:
    """Debian's newest Postgres, on a unix socket below ``folder``."""

    folder: Path
    bin: Path

    @property
    def url(self) -> str:
        return f"postgresql://lectern@/postgres?host={quote(str(self.folder), safe='/')}&port=5432"


@contextmanager
def system_postgres(folder: Path) -> Iterator[SystemPostgres]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    assert found, "Debian's Postgres is not installed"
    server = SystemPostgres(folder, found[-1].parent)
    account = server_account(folder)
    give(folder, account)
    setup = child_setup(account, signal.SIGKILL)
    data = str(folder / "data")
    made = [str(server.bin / "initdb"), "-D", data, "-U", "lectern", "--no-locale", "-E", "UTF8", "--no-sync"]
    subprocess.run(made, check=True, preexec_fn=setup, stdout=subprocess.DEVNULL, cwd="/")
    options = ["-D", data, "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"]
    command = [str(server.bin / "postgres"), *options]
    started = subprocess.Popen(command, preexec_fn=setup, stderr=subprocess.DEVNULL, cwd="/")  # noqa: PLW1509
    try:
        _wait(server)
        yield server
    finally:
        started.send_signal(signal.SIGINT)
        started.wait(20)


def _wait(server: SystemPostgres) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            Database(server.url, "postgres").run("SELECT 1")
        except DependencyError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that the servers' account may enter; pytest's own are closed to it."""
    with tempfile.TemporaryDirectory(prefix="lectern-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def system(place: Path) -> Iterator[SystemPostgres]:
    (place / "system").mkdir()
    with system_postgres(place / "system") as server:
        yield server


@pytest.fixture(scope="module")
def embedded(place: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(place / "embedded", {"fsync": "off"}) as server:
        yield server


@pytest.mark.parametrize("direction", ["system to embedded", "embedded to system", "system to system"])
def test_a_database_moves_between_versions(
    system: SystemPostgres, embedded: EmbeddedPostgres, tmp_path: Path, direction: str
) -> None:
    """A point cut on one version could not be restored on another, in the sealed room or on a new service."""
    servers = {"system": system, "embedded": embedded}
    source_server, target_server = (servers[name] for name in direction.split(" to "))
    make_key_file(tmp_path / "key")
    files = Files(FolderStore(tmp_path / "bucket"), PointCipher(KeyFile(tmp_path / "key"), POINT))
    source, target = fresh(source_server), fresh(target_server, migrated=False)
    source.run(ODD)
    record = exported(source, files)
    result = restored(record, files, target)
    again = exported(target, files)
    assert digests(again) == digests(record)
    facts, found = record.facts(NeonFacts).catalog, again.facts(NeonFacts).catalog
    assert (found.shape, found.sequences) == (facts.shape, facts.sequences)
    assert result.fingerprint == facts.fingerprint
    assert facts.server_version.split(".")[0] == ("18" if source_server is embedded else system.bin.parts[4])
