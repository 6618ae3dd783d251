"""One measured process of :mod:`tests.benchmarks.recovery`: a backup, a restore, or the stand-in's server."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

POINT = "20260131T030000Z"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["backup", "restore", "serve"])
    for name in ("bucket", "key", "record", "database", "result"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--connections", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.verb == "serve":
        serve()
    else:
        work(chosen)


def work(chosen: argparse.Namespace) -> None:
    from shared.embedded.key_file import KeyFile
    from shared.recovery.crypto import PointCipher
    from shared.recovery.neon_part import Files
    from shared.resilience.deadline import Deadline

    deadline = Deadline.after(3600)
    files = Files(store(chosen.bucket), PointCipher(KeyFile(Path(chosen.key)), POINT))
    record = Path(chosen.record)
    if chosen.verb == "backup":
        from shared.adapters.neon.copy import NeonExport
        from shared.recovery.cutting import new_attempt
        from shared.recovery.neon_part import export

        database = NeonExport(chosen.database)
        made = export(database, files, POINT, new_attempt(), deadline, connections=chosen.connections)
        record.write_bytes(msgspec.json.encode(made))
        told = {"bytes": made.bytes}
    else:
        from shared.adapters.neon.rebuild import NeonImport
        from shared.recovery.neon_restore import restore
        from shared.recovery.point import PartRecord

        point = msgspec.json.decode(record.read_bytes(), type=PartRecord)
        restored = restore(point, files, NeonImport(chosen.database), deadline)
        print(restored.seconds, file=sys.stderr)
        told = {"bytes": 0, "seconds": restored.seconds}
    Path(chosen.result).write_text(json.dumps(told))


def store(bucket: str):
    address = urlsplit(bucket)
    if address.scheme == "file":
        from shared.embedded.folder import FolderStore

        return FolderStore(Path(address.path))
    from shared.adapters.gcs import GcsStore

    return GcsStore("lectern-test", project="p", endpoint=bucket)


def serve() -> None:
    from tests.fakes.gcs import FakeGcs

    with FakeGcs() as gcs:
        print(gcs.endpoint, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
