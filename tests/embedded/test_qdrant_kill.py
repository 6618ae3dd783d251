"""The engine killed and panicking for real: what was acknowledged is there afterwards."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import qdrant_edge as edge

from shared.adapters.qdrant.search import QdrantSearch
from shared.embedded.qdrant import EmbeddedQdrant
from shared.embedded.qdrant.collection import Collection
from shared.embedded.qdrant.wire import CreateCollection, SparseParams
from shared.errors import RequestError
from shared.resilience.deadline import Deadline

SERVE = """
import sys
from pathlib import Path
from shared.embedded.qdrant import EmbeddedQdrant
with EmbeddedQdrant(Path(sys.argv[1])) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""
CONFIG = {"vectors": {"dense": {"size": 8, "distance": "Cosine"}}, "sparse_vectors": {"text": {}}}


def body(first: int) -> dict[str, object]:
    points = [
        {
            "id": str(UUID(int=number)),
            "vector": {"dense": [1.0, number] * 4, "text": {"indices": [number], "values": [1.0]}},
            "payload": {"number": number},
        }
        for number in range(first, first + 10)
    ]
    return {"points": points}


class _Writers:
    """Two threads that write points until the server dies, one that makes and drops collections."""

    def __init__(self, url: str, enough: int) -> None:
        self._url = url
        self._enough = enough
        self._lock = threading.Lock()
        self.acknowledged: set[str] = set()
        self.reached = threading.Event()
        jobs = [(self._write, 10**6), (self._write, 2 * 10**6), (self._churn, 0)]
        self.threads = [threading.Thread(target=job, args=(start,)) for job, start in jobs]

    def _write(self, first: int) -> None:
        with httpx.Client(base_url=self._url) as http:
            try:
                while True:
                    points = body(first)
                    http.put("/collections/c/points?wait=true", json=points).raise_for_status()
                    self._count(str(UUID(int=number)) for number in range(first, first + 10))
                    first += 10
            except httpx.TransportError:
                self.reached.set()

    def _churn(self, number: int) -> None:
        with httpx.Client(base_url=self._url) as http:
            try:
                while True:
                    http.put(f"/collections/extra-{number}", json=CONFIG).raise_for_status()
                    http.delete(f"/collections/extra-{number - 1}").raise_for_status()
                    number += 1
            except httpx.TransportError:
                self.reached.set()

    def _count(self, ids: object) -> None:
        with self._lock:
            self.acknowledged.update(ids)  # type: ignore[call-overload]
            if len(self.acknowledged) >= self._enough:
                self.reached.set()


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_server_has_lost_nothing_that_it_acknowledged(tmp_path: Path, seed: int, full: bool) -> None:
    """A power cut during an ingestion would leave holes in the index that nobody notices."""
    chance = random.Random(seed)
    acknowledged: set[str] = set()
    for _ in range(10 if full else 2):
        command = [sys.executable, "-c", SERVE, str(tmp_path)]
        root = Path(__file__).resolve().parents[2]
        with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdout
            url = server.stdout.readline().decode().strip()
            assert httpx.put(f"{url}/collections/c", json=CONFIG).status_code in (200, 409)
            writers = _Writers(url, chance.randrange(20, 600))
            for thread in writers.threads:
                thread.start()
            assert writers.reached.wait(60)
            server.send_signal(signal.SIGKILL)
        for thread in writers.threads:
            thread.join()
        acknowledged |= writers.acknowledged
        _check(tmp_path, acknowledged)


def _check(home: Path, acknowledged: set[str]) -> None:
    with EmbeddedQdrant(home) as server, QdrantSearch(server.url) as search:
        found = search.retrieve("c", sorted(acknowledged), Deadline.after(30))
        assert len(found) == len(acknowledged)
        assert all(UUID(point.id).int == point.payload["number"] for point in found)
        names = httpx.get(f"{server.url}/collections").json()["result"]["collections"]
        for each in names:  # what is there is whole: it describes itself and takes points
            url = f"{server.url}/collections/{each['name']}"
            assert httpx.get(url).status_code == 200
            assert httpx.put(f"{url}/points", json=body(1)).status_code == 200
            if each["name"] != "c":
                httpx.delete(url).raise_for_status()
    assert {path.name for path in (home / "collections").iterdir()} == {"c"}


def test_a_panic_of_the_engine_is_one_failed_request(tmp_path: Path) -> None:
    """One bad vector would make every later write fail until a restart."""
    Collection.create(tmp_path / "c", CreateCollection(sparse_vectors={"text": SparseParams()}))
    collection = Collection(tmp_path / "c")
    good = edge.SparseVector(indices=[1, 2], values=[1.0, 1.0])
    uneven = edge.SparseVector(indices=[1, 2], values=[1.0])
    try:
        for number in range(3):
            _upsert(collection, number, good)
            with pytest.raises(RequestError, match="panicked") as caught:
                _upsert(collection, 99, uneven)
            assert caught.value.status == 500
            with pytest.raises(RequestError, match="panicked"):
                collection.read(lambda shard: shard.query(_nearest(uneven)))
            assert {each.id for each in collection.read(lambda shard: shard.query(_nearest(good)))} == set(
                range(number + 1)
            )
    finally:
        collection.close()


def _upsert(collection: Collection, number: int, vector: edge.SparseVector) -> None:
    collection.write(edge.UpdateOperation.upsert_points([edge.Point(id=number, vector={"text": vector})]))


def _nearest(vector: edge.SparseVector) -> edge.QueryRequest:
    return edge.QueryRequest(limit=10, query=edge.Query.Nearest(vector, using="text"))
