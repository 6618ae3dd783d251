"""The loopback server: what it answers is Qdrant's form, and Qdrant's own client accepts it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import TypeAdapter
from qdrant_client import QdrantClient
from qdrant_client.http import models as m

from shared.adapters.qdrant.requests import filter_body, search_body
from shared.embedded.qdrant import EmbeddedQdrant
from shared.errors import StackError
from shared.ports import Condition, Search, SparseVector

IDS = [str(UUID(int=number)) for number in range(10)]
DENSE = {"dense": m.VectorParams(size=4, distance=m.Distance.COSINE)}
SPARSE = {"text": m.SparseVectorParams()}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedQdrant]:
    with EmbeddedQdrant(tmp_path) as running:
        yield running


@pytest.fixture
def http(server: EmbeddedQdrant) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


@pytest.fixture
def client(server: EmbeddedQdrant) -> Iterator[QdrantClient]:
    """Qdrant's own client, with ten points in collection c."""
    with_points = QdrantClient(url=server.url, check_compatibility=False)
    with_points.create_collection("c", vectors_config=DENSE, sparse_vectors_config=SPARSE)
    with_points.upsert("c", [struct(number) for number in range(10)], wait=True)
    yield with_points
    with_points.close()


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One server with the ten points, for tests that leave them as they are, and a collection to write to:
    which tests come before which is not known when several processes run them.
    """
    with EmbeddedQdrant(tmp_path_factory.mktemp("stocked")) as running:
        client = QdrantClient(url=running.url, check_compatibility=False)
        for name in ("c", "written"):
            client.create_collection(name, vectors_config=DENSE, sparse_vectors_config=SPARSE)
        client.upsert("c", [struct(number) for number in range(10)], wait=True)
        client.close()
        with httpx.Client(base_url=running.url) as http:
            yield http


def struct(number: int) -> m.PointStruct:
    sparse = m.SparseVector(indices=[1, number + 2], values=[1.0, 0.5])
    vector = {"dense": [1.0, 0.5, number, 0.0], "text": sparse}
    return m.PointStruct(
        id=IDS[number], vector=vector, payload={"page": f"p{number}", "code": number % 2 == 0}
    )


def ids(points: list[Any]) -> list[int]:
    return [UUID(point.id).int for point in points]


def test_qdrants_client_describes_a_collection(client: QdrantClient) -> None:
    """Operators could not look at the local index with the tools they know."""
    assert client.collection_exists("c")
    assert not client.collection_exists("d")
    info = client.get_collection("c")
    assert info.config.params.vectors == DENSE
    assert info.config.params.sparse_vectors == SPARSE
    assert info.points_count == 10
    client.create_payload_index("c", "page", field_schema=m.PayloadSchemaType.KEYWORD)
    assert client.get_collection("c").payload_schema["page"].points == 10
    assert [each.name for each in client.get_collections().collections] == ["c"]
    assert client.delete_collection("c")
    assert not client.collection_exists("c")


def test_qdrants_client_writes_and_reads_points(client: QdrantClient) -> None:
    """A backup taken with the client would not be what the engine holds."""
    client.upload_points("c", [m.PointStruct(id=7, vector={}, payload={"n": 1})], wait=True)
    assert client.count("c").count == 11
    page, following = client.scroll("c", limit=2, with_vectors=True)
    assert [page[0].id, page[1].id, following] == [7, IDS[0], IDS[1]]
    assert page[1].vector["text"] == m.SparseVector(indices=[1, 2], values=[1.0, 0.5])
    [found] = client.retrieve("c", [IDS[3]], with_payload=["page"])
    assert found.payload == {"page": "p3"}
    client.delete("c", m.PointIdsList(points=[7]))
    kept = m.Filter(
        must=[m.FieldCondition(key="code", match=m.MatchValue(value=True))],
        must_not=[m.HasIdCondition(has_id=[IDS[4]])],
    )
    client.delete("c", m.FilterSelector(filter=kept))
    assert ids(client.scroll("c")[0]) == [1, 3, 4, 5, 7, 9]
    columns = m.Batch(ids=IDS[:2], vectors={"dense": [[1, 2, 3, 4], [4, 3, 2, 1]]}, payloads=[{"a": 1}, {}])
    client.upsert("c", columns, wait=True)
    assert client.retrieve("c", IDS[:1])[0].payload == {"a": 1}


def test_qdrants_client_queries(client: QdrantClient) -> None:
    """The formulas of the handbook could not be tried on the local index."""
    sparse = m.SparseVector(indices=[5], values=[1.0])
    assert ids(client.query_points("c", query=[1.0, 0, 0, 0], using="dense", limit=3).points) == [0, 1, 2]
    assert ids(client.query_points("c", query=sparse, using="text").points) == [3]
    lists = [
        m.Prefetch(query=[1.0, 0, 0, 0], using="dense", limit=5),
        m.Prefetch(query=sparse, using="text", limit=5),
    ]
    fused = client.query_points("c", prefetch=lists, query=m.FusionQuery(fusion=m.Fusion.RRF), limit=1)
    assert ids(fused.points) == [3]
    weighted = m.RrfQuery(rrf=m.Rrf(k=60, weights=[1.0, 3.0]))
    assert ids(client.query_points("c", prefetch=lists, query=weighted, limit=1).points) == [3]
    chosen = m.Filter(must=[m.FieldCondition(key="page", match=m.MatchAny(any=["p4", "p8"]))])
    requests = [
        m.QueryRequest(query=[1.0, 0, 0, 0], using="dense", filter=chosen, limit=5, offset=1),
        m.QueryRequest(query=sparse, using="text", with_payload=True, with_vector=["text"], limit=1),
    ]
    first, second = client.query_batch_points("c", requests)
    assert ids(first.points) == [8]
    assert second.points[0].payload == {"page": "p3", "code": False}
    assert list(second.points[0].vector) == ["text"]


def test_qdrants_client_moves_aliases(client: QdrantClient) -> None:
    """The switch of a generation could not be tried before it is done in production."""
    create = m.CreateAliasOperation(create_alias=m.CreateAlias(collection_name="c", alias_name="live"))
    rename = m.RenameAliasOperation(rename_alias=m.RenameAlias(old_alias_name="live", new_alias_name="now"))
    client.update_collection_aliases([create])
    assert client.count("live").count == 10
    client.update_collection_aliases([rename])
    assert [each.alias_name for each in client.get_collection_aliases("c").aliases] == ["now"]
    client.update_collection_aliases([m.DeleteAliasOperation(delete_alias=m.DeleteAlias(alias_name="now"))])
    assert client.get_aliases().aliases == []


QUERY = {"query": [1, 0, 0, 0], "using": "dense", "limit": 2, "with_payload": True, "with_vector": True}
ANSWERS: list[tuple[str, str, Any, Any]] = [
    ("GET", "/collections", None, m.CollectionsResponse),
    ("GET", "/collections/c", None, m.CollectionInfo),
    ("GET", "/collections/c/exists", None, m.CollectionExistence),
    ("GET", "/collections/c/aliases", None, m.CollectionsAliasesResponse),
    ("GET", "/aliases", None, m.CollectionsAliasesResponse),
    ("PUT", "/collections/c/index", {"field_name": "page", "field_schema": "keyword"}, m.UpdateResult),
    ("PUT", "/collections/written/points", {"points": [{"id": 1, "vector": {}}]}, m.UpdateResult),
    ("POST", "/collections/written/points/delete", {"points": [1]}, m.UpdateResult),
    ("POST", "/collections/c/points", {"ids": IDS, "with_payload": True}, list[m.Record]),
    ("POST", "/collections/c/points/scroll", {"limit": 2, "with_vector": True}, m.ScrollResult),
    ("POST", "/collections/c/points/count", {"exact": True}, m.CountResult),
    ("POST", "/collections/c/points/query", QUERY, m.QueryResponse),
    ("POST", "/collections/c/points/query/batch", {"searches": [QUERY] * 2}, list[m.QueryResponse]),
]


@pytest.mark.parametrize(("method", "path", "body", "form"), ANSWERS, ids=lambda each: str(each)[:40])
def test_answers_have_qdrants_form_and_nothing_more(
    stocked: httpx.Client, method: str, path: str, body: Any, form: Any
) -> None:
    """Code that works here would fail on Qdrant Cloud, which has no field of our invention."""
    answer = stocked.request(method, path, json=body).raise_for_status().json()
    assert set(answer) == {"result", "status", "time"}
    assert answer["status"] == "ok"
    adapter = TypeAdapter(form)
    parsed = adapter.validate_python(answer["result"])
    # What the generated models do not know is dropped by them, and would be missing here.
    assert json.loads(adapter.dump_json(parsed, exclude_unset=True)) == answer["result"]


def test_our_requests_have_qdrants_form_and_nothing_more() -> None:
    """A field that the local server lets pass would be refused by Qdrant Cloud."""
    conditions = (Condition("page", ("a", "b")), Condition("n", (1, "x")), Condition("code", (True,)))
    sparse = Search("text", SparseVector((1, 2), (0.5, 1.5)), 300, conditions)
    m.QueryRequestBatch.model_validate(
        {"searches": [search_body(sparse), search_body(Search("dense", (1.0, 2.0), 3))]}
    )
    m.Filter.model_validate(filter_body(conditions, IDS))


SPARSE_QUERY = {"query": {"indices": [1, 2], "values": [1.0]}, "using": "text"}
REFUSED: list[tuple[str, str, str, int, str]] = [
    ("POST", "/collections/no/points/count", "{}", 404, "Collection `no` doesn't exist"),
    ("GET", "/collections/no", "", 404, "doesn't exist"),
    ("GET", "/collections/c/snapshots", "", 404, "no GET"),
    ("PUT", "/collections/c", '{"vectors": {"size": 4, "distance": "Dot"}}', 409, "already exists"),
    ("PUT", "/collections/d", '{"vectors": {"size": 4, "distance": "Dot"}, "wat": 1}', 400, "unknown field"),
    ("PUT", "/collections/d", '{"vectors": {"size": 0, "distance": "Dot"}}', 422, "must be from 1"),
    ("PUT", "/collections/d", '{"vectors": {"size": 4, "distance": "Near"}}', 400, "Near"),
    ("PUT", "/collections/d", "{}", 400, "at least one vector"),
    ("PUT", "/collections/a%2Fb", '{"vectors": {"size": 4, "distance": "Dot"}}', 422, "not allowed"),
    ("PUT", "/collections/.new-d", '{"vectors": {"size": 4, "distance": "Dot"}}', 422, "not allowed"),
    ("PUT", "/collections/c/index", '{"field_name": "a", "field_schema": "wat"}', 400, "wat"),
    ("PUT", "/collections/c/points", '{"points": [{"id": "x", "vector": {}}]}', 400, "not a valid point ID"),
    ("PUT", "/collections/c/points", '{"points": [{"id": -1, "vector": {}}]}', 400, "not a valid point ID"),
    ("PUT", "/collections/c/points", '{"points": []}', 400, "Empty update"),
    ("PUT", "/collections/c/points", "{}", 400, "either `points` or `batch`"),
    (
        "PUT",
        "/collections/c/points",
        '{"points": [{"id": 1, "vector": {"dense": [1, 2]}}]}',
        400,
        "expected dim: 4",
    ),
    (
        "PUT",
        "/collections/c/points",
        '{"points": [{"id": 1, "vector": {"dense": [1,2,3,NaN]}}]}',
        400,
        "JSON",
    ),
    (
        "PUT",
        "/collections/c/points",
        '{"points": [{"id": 1, "vector": {"dense": [1,2,3,1e39]}}]}',
        400,
        "finite",
    ),
    (
        "PUT",
        "/collections/c/points",
        '{"points": [{"id": 1, "vector": {}, "payload": {"a": 1e999}}]}',
        400,
        "range",
    ),
    (
        "PUT",
        "/collections/c/points",
        '{"points": [{"id": 1, "vector": {}, "payload": {"a": [99999999999999999999]}}]}',
        400,
        "range",
    ),
    ("POST", "/collections/c/points/query", json.dumps(SPARSE_QUERY), 422, "same length"),
    ("POST", "/collections/c/points/query", json.dumps(QUERY | {"query": [1]}), 400, "expected dim: 4"),
    ("POST", "/collections/c/points/query", json.dumps(QUERY | {"using": "no"}), 400, "Not existing vector"),
    ("POST", "/collections/c/points/query", json.dumps(QUERY | {"limit": 0}), 422, "1 or larger"),
    ("POST", "/collections/c/points/query", json.dumps(QUERY | {"limits": 3}), 400, "unknown field"),
    ("POST", "/collections/c/points/query", '{"query": {"fusion": "rrf"}}', 400, "without prefetches"),
    ("POST", "/collections/c/points/query", json.dumps(QUERY | {"query": IDS[0]}), 400, "only vectors"),
    ("POST", "/collections/c/points/query", json.dumps(QUERY | {"filter": {"must": [1]}}), 400, "condition"),
    (
        "POST",
        "/collections/c/points/query",
        json.dumps(QUERY | {"filter": {"must": [{"key": "a", "match": {"any": ["x", 1]}}]}}),
        400,
        "not both",
    ),
    ("POST", "/collections/c/points/scroll", '{"limit": 0}', 422, "1 or larger"),
    ("POST", "/collections/c/points/delete", "{}", 400, "either `points` or `filter`"),
    ("POST", "/collections/c/points/count", "", 400, "JSON"),
    ("POST", "/collections/c/points/count", "[", 400, "JSON"),
    ("POST", "/collections/aliases", '{"actions": [{}]}', 400, "empty"),
    (
        "POST",
        "/collections/aliases",
        '{"actions": [{"create_alias": {"alias_name": "l", "collection_name": "no"}}]}',
        404,
        "doesn't exist",
    ),
]


@pytest.mark.parametrize("refused", REFUSED, ids=lambda each: f"{each[0]} {each[1]} {each[2]}")
def test_refusals_have_qdrants_form(stocked: httpx.Client, refused: tuple[str, str, str, int, str]) -> None:
    """A mistake would pass here and break in production, or surface as an internal error."""
    method, path, body, status, words = refused
    answer = stocked.request(method, path, content=body)
    assert (answer.status_code, set(answer.json())) == (status, {"status", "time"})
    assert words in answer.json()["status"]["error"]
    assert stocked.post("/collections/c/points/count", json={}).json()["result"]["count"] == 10


def test_a_failed_batch_of_aliases_changes_none(client: QdrantClient, http: httpx.Client) -> None:
    """A half-done switch would leave the readers without an index."""
    good = {"create_alias": {"alias_name": "live", "collection_name": "c"}}
    bad = {"create_alias": {"alias_name": "next", "collection_name": "no"}}
    assert http.post("/collections/aliases", json={"actions": [good, bad]}).status_code == 404
    assert client.get_aliases().aliases == []


def test_probes_answer_without_a_key_and_the_rest_does_not(tmp_path: Path) -> None:
    """A locked-down local server could not be watched, or anybody on the machine could empty it."""
    with EmbeddedQdrant(tmp_path, api_key="secret") as server, httpx.Client(base_url=server.url) as http:
        assert [http.get(path).status_code for path in ("/healthz", "/readyz", "/livez")] == [200] * 3
        assert [http.get(path).status_code for path in ("/", "/collections", "/aliases")] == [401] * 3
        assert http.get("/collections", headers={"api-key": "secret"}).status_code == 200
        assert http.get("/", headers={"Authorization": "Bearer secret"}).json()["version"]
        odd = [(b"api-key", b"s\xe9cret")]
        assert http.get("/collections", headers=odd).status_code == 401


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST /collections HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", b"411"),
        (b"POST /collections HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"GET /a b HTTP/1.1\r\n\r\n", b"400"),
        (b"BREW /collections HTTP/1.1\r\nHost: x\r\n\r\n", b"501"),
    ],
)
def test_requests_that_are_none_end_their_connection(
    server: EmbeddedQdrant, head: bytes, status: bytes
) -> None:
    """One broken peer would hold a thread or fill the memory."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert status in answer.split(b"\n")[0]
    assert httpx.get(f"{server.url}/readyz").status_code == 200


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """`make run` would have to ingest again at every start."""
    with EmbeddedQdrant(tmp_path) as server, httpx.Client(base_url=server.url) as http:
        config = {"vectors": {"dense": {"size": 2, "distance": "Cosine"}}, "sparse_vectors": {"text": {}}}
        http.put("/collections/c", json=config).raise_for_status()
        point = {"id": IDS[1], "vector": {"dense": [3, 4]}, "payload": {"a": [1, "x", None]}}
        http.put("/collections/c/points", json={"points": [point]}).raise_for_status()
        actions = {"actions": [{"create_alias": {"alias_name": "live", "collection_name": "c"}}]}
        http.post("/collections/aliases", json=actions).raise_for_status()
        before = http.get("/collections/c").json()["result"]["config"]
    with EmbeddedQdrant(tmp_path) as server, httpx.Client(base_url=server.url) as http:
        found = http.post("/collections/live/points", json={"ids": [IDS[1]], "with_payload": True})
        assert found.json()["result"] == [{"id": IDS[1], "payload": {"a": [1, "x", None]}}]
        assert http.get("/collections/c").json()["result"]["config"] == before


def test_a_home_in_use_and_a_port_in_use_are_named(tmp_path: Path, server: EmbeddedQdrant) -> None:
    """A second `make run` would corrupt the index of the first, or die with a stack trace."""
    with pytest.raises(StackError, match="in use by another process"):
        EmbeddedQdrant(tmp_path).start()
    port = int(server.url.rpartition(":")[2])
    for _ in range(2):  # the failed start leaves the folder free
        with pytest.raises(StackError, match=f"cannot listen on 127.0.0.1:{port}"):
            EmbeddedQdrant(tmp_path / "other", port=port).start()


def test_what_a_dead_process_left_half_done_is_cleared(tmp_path: Path) -> None:
    """Every crash would leave files that nobody removes."""
    with EmbeddedQdrant(tmp_path):
        pass
    for name in (".new-a", ".gone-b"):
        (tmp_path / "collections" / name / "shard").mkdir(parents=True)
    with EmbeddedQdrant(tmp_path) as server:
        assert httpx.get(f"{server.url}/collections").json()["result"] == {"collections": []}
    assert list((tmp_path / "collections").iterdir()) == []


@pytest.mark.parametrize("damage", ["config", "shard", "aliases"])
def test_a_damaged_home_is_named(tmp_path: Path, damage: str) -> None:
    """The start would end in a message of the engine that names no file and no way out."""
    with EmbeddedQdrant(tmp_path) as server:
        body = {"vectors": {"size": 2, "distance": "Dot"}}
        httpx.put(f"{server.url}/collections/c", json=body).raise_for_status()
    folder = tmp_path / "collections" / "c"
    if damage == "config":
        (folder / "collection.json").write_text("{")
    elif damage == "shard":
        (folder / "shard").rename(folder / "elsewhere")
    else:
        (tmp_path / "aliases.json").write_text("[]")
    with pytest.raises(StackError) as caught:
        EmbeddedQdrant(tmp_path).start()
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint


def test_readers_and_writers_at_once_see_whole_points(client: QdrantClient, server: EmbeddedQdrant) -> None:
    """Questions asked during an ingestion would fail."""
    failures: list[object] = []
    stop = threading.Event()

    def read() -> None:
        with httpx.Client(base_url=server.url) as http:
            while not stop.is_set():
                answer = http.post("/collections/c/points/query/batch", json={"searches": [QUERY] * 2})
                if answer.status_code != 200 or any(not hits["points"] for hits in answer.json()["result"]):
                    failures.append(answer.text)

    def write(first: int) -> None:
        points = [m.PointStruct(id=first + number, vector={"dense": [1, 1, 1, 1]}) for number in range(20)]
        for _ in range(10):
            client.upsert("c", points, wait=True)
            client.delete("c", m.PointIdsList(points=[each.id for each in points[:10]]), wait=True)

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(first,)) for first in (100, 200)]
    for thread in [*readers, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert failures == []
    assert client.count("c").count == 30
