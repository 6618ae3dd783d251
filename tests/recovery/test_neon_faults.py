"""The database part while the bucket, the network, the disk or the database fails."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shared.adapters.gcs import GcsStore
from shared.adapters.neon.copy import NeonExport
from shared.adapters.neon.rebuild import NeonImport
from shared.adapters.neon.url import DatabaseUrl, parse
from shared.adapters.neon.wire import Wire
from shared.embedded.folder import FolderStore
from shared.embedded.key_file import KeyFile, make_key_file
from shared.errors import DependencyError, Interrupted, Rejected, Throttled, Unreachable
from shared.recovery import sealed
from shared.recovery.crypto import PointCipher
from shared.recovery.neon_part import Files, export, verify
from shared.recovery.neon_restore import restore
from shared.recovery.patient_store import PatientStore
from shared.recovery.point import PartRecord
from shared.recovery.progress import Progress
from shared.settings import ROOT
from tests.contract.neon_servers import TlsServer, tls_server
from tests.contract.object_store_subjects import CHUNK
from tests.fakes.gcs import FakeGcs
from tests.fakes.gcs.faults import Fault
from tests.faults import FaultProxy
from tests.recovery_points import soon

POINT = "20260131T030000Z"
FILL = """
CREATE TABLE IF NOT EXISTS big AS
    SELECT i, md5(i::text) || md5((i * 7)::text) || md5((i * 11)::text) AS t FROM generate_series(1, 20000) i;
CREATE TABLE IF NOT EXISTS small AS SELECT 1 AS one;
GRANT pg_read_all_data TO app
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with tls_server(tmp_path_factory.mktemp("tls")) as made:
        run(made.server.url, FILL)
        yield made


def run(url: str | DatabaseUrl, sql: str) -> list:
    wire = Wire(parse(url) if isinstance(url, str) else url, soon())
    try:
        return wire.script(sql, soon(), "test")
    finally:
        wire.close()


@pytest.fixture
def gcs() -> Iterator[FakeGcs]:
    with FakeGcs() as made:
        yield made


@pytest.fixture
def cipher(tmp_path: Path) -> PointCipher:
    make_key_file(tmp_path / "key")
    return PointCipher(KeyFile(tmp_path / "key"), POINT)


@pytest.fixture
def files(gcs: FakeGcs, cipher: PointCipher) -> Iterator[Files]:
    store = GcsStore("lectern-test", endpoint=gcs.endpoint, chunk_bytes=CHUNK)
    # A hundredth of the pauses: the order of tries is what counts.
    yield Files(PatientStore(store, jitter=random.Random(1), sleep=lambda _seconds: None), cipher)
    store.close()


def cut(url: str, files: Files, attempt: str = "a-1") -> PartRecord:
    return export(NeonExport(url), files, POINT, attempt, soon())


def same(one: PartRecord, other: PartRecord) -> bool:
    return msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")


def every_fifth(gcs: FakeGcs, *operations: str, times: int = 40) -> None:
    for operation in operations:
        for number in range(times):
            gcs.faults.add(Fault(operation, skip=5 * number + 4, status=503))


def test_an_upload_of_which_every_fifth_request_fails_is_whole(
    server: TlsServer, gcs: FakeGcs, files: Files
) -> None:
    """Cloud Storage answers 503 now and then; each time a night's backup would be lost."""
    every_fifth(gcs, "initiate", "chunk", "insert")
    record = cut(server.server.url, files)
    sealed.write_record(files.store, record, files.cipher, soon())
    every_fifth(gcs, "stat", "media", "list")
    assert verify(record, files, soon()) >= 0
    (found,) = sealed.records(files.store, POINT, "neon", files.cipher, soon())
    assert same(found, record)
    assert gcs.faults.calls["chunk"] > 5


def test_a_connection_cut_at_ninety_per_cent_goes_on(server: TlsServer, gcs: FakeGcs, files: Files) -> None:
    """One reset near the end of a large upload would cost all of it."""
    gcs.faults.add(Fault("chunk", skip=1, cut_request=int(0.9 * CHUNK)))
    gcs.faults.add(Fault("chunk", skip=4, lose_answer=True))
    assert verify(cut(server.server.url, files), files, soon()) >= 0


def test_a_connection_that_is_always_cut_ends_it_by_name(
    server: TlsServer, gcs: FakeGcs, files: Files
) -> None:
    """A backup would hang, or leave part of a table that passes for a whole one."""
    gcs.faults.add(Fault("chunk", times=1000, cut_request=int(0.9 * CHUNK)))
    with pytest.raises(Unreachable, match=r"gcs: write failed.*tables/"):
        cut(server.server.url, files)
    gcs.faults.clear()
    assert [info.name for info in files.store.list("points/", soon()) if "big" in info.name] == []
    assert verify(cut(server.server.url, files, "a-2"), files, soon()) >= 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("chunk", times=1000, status=429, message="quota exceeded"), Throttled),
        (Fault("chunk", times=1000, status=410), Interrupted),
        (Fault("initiate", times=1000, status=403, message="a retention policy holds it"), Rejected),
    ],
)
def test_a_bucket_that_takes_nothing_more_is_named(
    server: TlsServer, gcs: FakeGcs, files: Files, fault: Fault, kind: type[DependencyError]
) -> None:
    """A full bucket would be found out when a restore is needed."""
    gcs.faults.add(fault)
    with pytest.raises(kind, match="gcs: write failed"):
        cut(server.server.url, files)


FULL = """
import resource, signal, sys
from pathlib import Path
from shared.adapters.neon.copy import NeonExport
from shared.embedded.folder import FolderStore
from shared.errors import Rejected
from shared.recovery.neon_part import Files, export
from shared.resilience.deadline import Deadline
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    files = Files(FolderStore(Path(sys.argv[2])), None)
    export(NeonExport(sys.argv[1]), files, "20260131T030000Z", "a-1", Deadline.after(60))
except Rejected as error:
    print(error)
"""


def test_a_full_disk_is_named(server: TlsServer, tmp_path: Path) -> None:
    """On one machine the backup would end in a stack trace."""
    command = [sys.executable, "-c", FULL, server.server.url, str(tmp_path / "bucket")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "write failed" in done.stdout, done.stderr
    store = FolderStore(tmp_path / "bucket")
    assert all("big" not in info.name for info in store.list("points/", soon()))


def test_a_database_that_is_cut_off_during_the_export_is_named(
    server: TlsServer, gcs: FakeGcs, files: Files
) -> None:
    """Half a table would be uploaded as a whole one."""
    with FaultProxy(("localhost", server.port)) as proxy:
        proxy.cut_after(400_000)
        with pytest.raises(Unreachable, match=r"neon: copy public\.big failed"):
            cut(server.url(port=proxy.port), files)
    assert [info.name for info in files.store.list("points/", soon()) if "big" in info.name] == []


def test_a_database_that_is_cut_off_during_the_restore_is_left_as_it_was(
    server: TlsServer, files: Files
) -> None:
    """Half a database would take the place of the one that readers are answered from."""
    record = cut(server.server.url, files)
    before = run(server.server.url, "SELECT datname FROM pg_database ORDER BY 1")

    with FaultProxy(("localhost", server.port)) as proxy:
        address = server.url(port=proxy.port).replace("/postgres?", "/target?")

        def cut_while_loading(progress: Progress) -> None:
            if progress.phase == "verify":
                proxy.cut_after(20_000)

        with pytest.raises(Unreachable):
            restore(record, files, NeonImport(address), soon(), watch=cut_while_loading)
    run(server.server.url, "DROP DATABASE IF EXISTS target_restoring WITH (FORCE)")
    assert run(server.server.url, "SELECT datname FROM pg_database ORDER BY 1") == before
    address = server.url().replace("/postgres?", "/target?")
    result = restore(record, files, NeonImport(address), soon())
    assert (result.tables, result.rows) == (2, 20_001)
    run(server.server.url, "DROP DATABASE target WITH (FORCE)")


def test_records_written_twice_are_one(server: TlsServer, gcs: FakeGcs, files: Files) -> None:
    """A record whose answer was lost would be taken for somebody else's, and the part cut again."""
    record = cut(server.server.url, files)
    gcs.faults.add(Fault("insert", lose_answer=True))
    sealed.write_record(files.store, record, files.cipher, soon())
    (found,) = sealed.records(files.store, POINT, "neon", files.cipher, soon())
    assert same(found, record)
