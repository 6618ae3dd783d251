"""One measured process of :mod:`tests.benchmarks.vectors`, or the server."""

from __future__ import annotations

import http.client
import json
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from shared.resilience.deadline import Deadline

if TYPE_CHECKING:
    from shared.adapters.qdrant.admin import QdrantAdmin
    from shared.adapters.qdrant.bulk import QdrantBulk
    from shared.recovery.crypto import PointCipher
    from shared.recovery.patience import Patient
    from shared.recovery.point import PartRecord

KEY = "a-key-for-tests"  # of the released server; the embedded one asks for none
COLLECTION, ALIAS, POINT = "bench-g0001", "bench-live", "20260131T030000Z"
SIZE, TERMS, LETTERS, PAGE = 768, 60, 1_300, 256


def main() -> None:
    """``VERB HOME URL``."""
    verb, home, url = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if verb == "serve":
        serve(home)
        return
    name, _, count = verb.partition(":")
    points, size = VERBS[name](home, url) if name != "fill" else fill(home, url, int(count))
    (home / "told.json").write_text(json.dumps({"points": points, "bytes": size}))


def serve(home: Path) -> None:
    from shared.embedded.qdrant import EmbeddedQdrant

    with EmbeddedQdrant(home / "qdrant") as server:
        print(server.url, flush=True)
        sys.stdin.read()


def later() -> Deadline:
    return Deadline.after(3600)


def admin(url: str) -> QdrantAdmin:
    from shared.adapters.qdrant.admin import QdrantAdmin

    return QdrantAdmin(url, KEY)


def bulk(url: str) -> QdrantBulk:
    from shared.adapters.qdrant.bulk import QdrantBulk

    return QdrantBulk(url, KEY)


def patient() -> Patient:
    import time

    from shared.recovery.patience import Patient

    return Patient(later(), jitter=random.Random(1), sleep=time.sleep)


def cipher(home: Path) -> PointCipher:
    from shared.embedded.key_file import KeyFile, make_key_file
    from shared.recovery.crypto import PointCipher

    if not (home / "key").exists():
        make_key_file(home / "key")
    return PointCipher(KeyFile(home / "key"), POINT)


def fill(_home: Path, url: str, count: int) -> tuple[int, int]:
    """Make the collection; the first point is the reserved one."""
    import numpy as np

    from shared.ports import CollectionSpec, PackedPoint, PackedSparse
    from shared.retrieval.digest import packed
    from shared.retrieval.layout import Facts, statistics_point
    from shared.retrieval.statistics import FieldStatistics, Statistics

    dice, numbers = random.Random(1), np.random.default_rng(1)
    words = ["".join(dice.choices("etaoinshrdlu", k=dice.randint(2, 9))) for _ in range(4000)]
    field = FieldStatistics(count, 100.0, {})
    facts = Facts("g0001", "bench", "bench", SIZE)
    spec = CollectionSpec({"dense": SIZE}, ("passages", "headings"), ("url", "version", "locale"))

    def one(number: int) -> PackedPoint:
        vector = numbers.standard_normal(SIZE).astype("<f4")
        vector /= np.linalg.norm(vector)
        terms = np.sort(numbers.choice(2**31, TERMS, replace=False)).astype("<u4")
        sparse = PackedSparse(terms.tobytes(), numbers.random(TERMS).astype("<f4").tobytes())
        text = " ".join(dice.choices(words, k=LETTERS // 6))
        payload = {
            "url": f"/docs/{number // 8}",
            "title": "A title of the page",
            "headings": ["One", "Two"],
            "anchor": "two",
            "text": text,
            "position": number % 8,
            "version": "",
            "locale": "",
        }
        return PackedPoint(_uuid(dice), {"dense": vector.tobytes(), "passages": sparse}, payload)

    with admin(url) as port, bulk(url) as fast:
        port.create(COLLECTION, spec, later())
        fast.write(COLLECTION, [packed(statistics_point(Statistics(field, field), facts))], later())
        for start in range(1, count, PAGE):
            batch = [one(number) for number in range(start, min(start + PAGE, count))]
            fast.write(COLLECTION, batch, later())
        port.switch_alias(ALIAS, COLLECTION, later())
        return fast.count(COLLECTION, later()), 0


def _uuid(dice: random.Random) -> str:
    from uuid import UUID

    return str(UUID(int=dice.getrandbits(128) | 1))


def floor(_home: Path, url: str) -> tuple[int, int]:
    """Every page with its vectors, not decoded."""
    address, offset, points = urlsplit(url), "", 0
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    while True:
        body = {"limit": PAGE, "with_vector": True} | ({"offset": offset} if offset else {})
        path = f"/collections/{COLLECTION}/points/scroll"
        headers = {"content-type": "application/json", "api-key": KEY}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse().read()
        points += answer.count(b'"payload":')
        _, found, rest = answer.rpartition(b'"next_page_offset":"')
        if not found:
            return points, 0
        offset = rest[:36].decode()


def client(_home: Path, url: str) -> tuple[int, int]:
    """Every page through qdrant-client."""
    from qdrant_client import QdrantClient

    port = QdrantClient(url=url, port=None, headers={"api-key": KEY}, timeout=60, check_compatibility=False)
    points, offset = 0, None
    while True:
        records, offset = port.scroll(COLLECTION, offset=offset, limit=PAGE, with_vectors=True)
        points += len(records)
        if offset is None:
            return points, 0


def export(home: Path, url: str, *, encrypted: bool = True) -> tuple[int, int]:
    from shared.embedded.folder import FolderStore
    from shared.recovery.vectors import Cut, VectorExport

    at = datetime(2026, 1, 31, 3, tzinfo=UTC)
    with bulk(url) as source:
        made = VectorExport(
            source,
            FolderStore(home / "bucket"),
            cipher(home) if encrypted else None,
            alias=ALIAS,
            now=lambda: at,
        )
        record = made.run(Cut(POINT, 1, at, "encrypted" if encrypted else "plain"), patient())
    if encrypted:
        (home / "record.json").write_bytes(msgspec.json.encode(record))
    return sum(entry.points for entry in record.objects), record.bytes


def plain(home: Path, url: str) -> tuple[int, int]:
    return export(home, url, encrypted=False)


def record(home: Path) -> PartRecord:
    from shared.recovery.point import PartRecord

    return msgspec.json.decode((home / "record.json").read_bytes(), type=PartRecord)


def verify(home: Path, _url: str) -> tuple[int, int]:
    from shared.embedded.folder import FolderStore
    from shared.recovery.vectors_check import check_vectors

    counted = check_vectors(record(home), FolderStore(home / "bucket"), cipher(home), patient())
    return counted.points, 0


def restore(home: Path, url: str) -> tuple[int, int]:
    """Into nothing, the part checked before and the collection read back after it."""
    from shared.embedded.folder import FolderStore
    from shared.recovery.vectors_restore import VectorRestore

    with admin(url) as port, bulk(url) as fast:
        port.drop(COLLECTION, later())
        work = VectorRestore(fast, port, FolderStore(home / "bucket"), cipher(home), alias=ALIAS)
        done = work.run(record(home), patient())
        print(done.seconds, file=sys.stderr)
        return done.written, 0


def snapshot(home: Path, url: str) -> tuple[int, int]:
    """Made by the server and downloaded."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    path = f"/collections/{COLLECTION}/snapshots"
    connection.request("POST", f"{path}?wait=true", headers={"api-key": KEY})
    name = json.loads(connection.getresponse().read())["result"]["name"]
    connection.request("GET", f"{path}/{name}", headers={"api-key": KEY})
    answer = connection.getresponse()
    with (home / "snapshot").open("wb") as file:
        while block := answer.read(1 << 20):
            file.write(block)
    with bulk(url) as fast:
        return fast.count(COLLECTION, later()), (home / "snapshot").stat().st_size


VERBS = {
    "floor": floor,
    "client": client,
    "export": export,
    "plain": plain,
    "verify": verify,
    "restore": restore,
    "snapshot": snapshot,
}

if __name__ == "__main__":
    main()
