"""Chat under gunicorn at both ends of its work: before the first reader came, and after a reader left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from shared.embedded.fake_gemini import FakeGemini, Fault
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.parts import Parts
from tests.faults import FaultProxy
from tests.local_stack import Served, environment, function
from tests.waiting import wait_for

QUESTION = {"question": "How cold should apples be stored?"}
EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture
def fake() -> Iterator[FakeGemini]:
    with FakeGemini(api_key=None) as started:
        yield started


def writing(stack: Settings, fake: FakeGemini, **extra: str) -> dict[str, str]:
    """The environment of a chat whose answers the stand-in writes."""
    own = {"LECTERN_GENERATOR": "gemini", "LECTERN_CACHE_SECONDS": "0", "LECTERN_EMBEDDER": "none"}
    return environment(
        stack, GEMINI_API_KEY="stand-in", LECTERN_GEMINI_BASE_URL=fake.base_url, **{**own, **extra}
    )


# ---------------------------------------------------------------- start


def test_the_instance_warms_up_before_the_first_reader(stack: Settings, fake: FakeGemini) -> None:
    """The first reader would wait for what could have been done before they came."""
    with FaultProxy(address(stack.qdrant_url)) as qdrant:
        environ = writing(
            stack, fake, LECTERN_EMBEDDER="gemini", QDRANT_URL=f"http://127.0.0.1:{qdrant.port}"
        )
        with function("chat", environ) as client:
            ready = client.wait_until_ready()
            assert (ready["status"], ready["rung"]) == ("ready", "hybrid")
            assert [one.path for one in fake.seen if "mbed" in one.path]
            assert qdrant.turns == 2  # the alias and the statistics, once
            assert client.post("/chat", json=QUESTION).json()["recorded"]
            assert not [line for line in client.lines() if "not warm" in line["message"]]


def test_a_reader_who_comes_during_the_warm_up_is_answered(stack: Settings, fake: FakeGemini) -> None:
    """The reader for whom an instance was started would get an error, or hang with its warm-up."""
    fake.faults.always(Fault(operation="mbed", black_hole=True))
    with function("chat", writing(stack, fake, LECTERN_EMBEDDER="gemini")) as client:
        unready = client.get("/ready")
        assert (unready.status_code, unready.headers["retry-after"]) == (503, "1")
        assert unready.json()["error"]["code"] == "warming_up"
        answer = client.post("/chat", json=QUESTION).json()
        assert answer["citations"]
        client.wait_until_ready()
        lines = [line for line in client.lines() if "not warm" in line["message"]]
        assert [list(line["problems"]) for line in lines] == [["embedding"]]


def test_an_index_that_does_not_answer_delays_no_start(stack: Settings, fake: FakeGemini) -> None:
    """An outage of Qdrant would keep new instances from coming up, and take chat down with it."""
    with FaultProxy(address(stack.qdrant_url)) as qdrant:
        qdrant.black_hole()
        with function("chat", writing(stack, fake, QDRANT_URL=f"http://127.0.0.1:{qdrant.port}")) as client:
            assert client.get("/live").status_code == 200
            assert client.get("/ready").status_code == 503, "the start waited for the index"
            ready = client.wait_until_ready(12)
            assert (ready["rung"], ready["degraded"]) == ("fulltext", ["qdrant: timed_out"])


def test_an_instance_that_can_answer_nothing_is_not_ready(stack: Settings, fake: FakeGemini) -> None:
    """Cloud Run would send readers to an instance that has nothing to answer from."""
    nowhere = "postgresql://nobody@127.0.0.1:9/nothing"
    environ = writing(stack, fake, QDRANT_URL="http://127.0.0.1:9", DATABASE_URL=nowhere, STORAGE_BUCKET="")
    with function("chat", environ) as client:
        end = time.monotonic() + 15
        while (answer := client.get("/ready")).json()["error"]["code"] == "warming_up":
            assert time.monotonic() < end
            time.sleep(0.05)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "127.0.0.1" not in answer.text


def test_first_requests_share_one_application(stack: Settings, fake: FakeGemini) -> None:
    """Each of the first readers would open connections, and learn of outages, for themselves alone."""
    with FaultProxy(address(stack.qdrant_url)) as qdrant:
        environ = writing(stack, fake, QDRANT_URL=f"http://127.0.0.1:{qdrant.port}")
        with function("chat", environ, threads=16) as client:
            codes: list[int] = []
            asking = [
                threading.Thread(target=lambda: codes.append(client.post("/chat", json=QUESTION).status_code))
                for _ in range(12)
            ]
            for one in asking:
                one.start()
            for one in asking:
                one.join(30)
            assert codes == [200] * 12


@pytest.mark.parametrize(
    ("accepted", "question"),
    [
        ("application/json", "How cold are apples stored?"),
        ("text/event-stream", "How cold must apples be stored?"),
    ],
)
def test_an_answer_is_kept_for_the_next_reader(
    stack: Settings, fake: FakeGemini, accepted: str, question: str
) -> None:
    """Each reader of a popular question would pay for it anew, in time and money."""
    with function("chat", writing(stack, fake, LECTERN_CACHE_SECONDS="60")) as client:
        client.wait_until_ready()
        for _ in range(2):
            assert (
                client.post("/chat", json={"question": question}, headers={"Accept": accepted}).status_code
                == 200
            )
            finished(client)
        assert len([one for one in fake.seen if "stream" in one.path]) == 1


def address(url: str) -> tuple[str, int]:
    parsed = httpx.URL(url)
    return parsed.host, int(parsed.port or 80)


# ---------------------------------------------------------------- leave


@pytest.mark.parametrize("events_read", [0, 3])
def test_when_the_reader_leaves_the_writing_stops(
    stack: Settings, fake: FakeGemini, events_read: int
) -> None:
    """Closed tabs would go on costing money."""
    write_for_long(fake)
    with function("chat", writing(stack, fake)) as client:
        client.wait_until_ready()
        leave(client, events_read, until=lambda: [one for one in fake.seen if "stream" in one.path])
        began = time.monotonic()
        assert fake.left.wait(5), "the service went on writing"
        assert time.monotonic() - began < 1.0
        line = finished(client)
        assert line["client_left"] is True
        assert line["severity"] == "INFO"


def test_a_silent_service_is_left_too(stack: Settings, fake: FakeGemini) -> None:
    """Readers who lose patience would leave threads behind that wait for a service that is stuck."""
    fake.faults.always(Fault(operation="stream", black_hole=True))
    with function("chat", writing(stack, fake)) as client:
        client.wait_until_ready()
        leave(client, 1)
        left = time.monotonic()
        assert finished(client)["client_left"] is True
        assert time.monotonic() - left < 1.0


def test_what_a_left_answer_cost_is_counted(stack: Settings, fake: FakeGemini) -> None:
    """A script that hangs up early could spend without end, below every cap."""
    write_for_long(fake)
    with Parts(stack) as parts:
        before = spent(parts)
        prices = {"LECTERN_GEMINI_INPUT_USD_PER_MILLION": "1000"}
        with function("chat", writing(stack, fake, **prices)) as client:
            client.wait_until_ready()
            leave(client, 2)
            finished(client)
        assert spent(parts) > before


def write_for_long(fake: FakeGemini) -> None:
    """One sentence that is true and shown, then ten seconds of others."""
    said = "Store apples at 3 degrees in the `cold_room`. [1]\n" + "And so on and on it goes. " * 60
    fake.writer = lambda _system, _prompt: said
    fake.faults.always(Fault(operation="stream", chunk_delay=0.05))


def leave(client: Served, events_read: int, until: Callable[[], object] = lambda: True) -> None:
    """Ask, read so many events, and close the connection once something holds."""
    with client.stream("POST", "/chat", json=QUESTION, headers=EVENTS) as response:
        lines = response.iter_lines()
        names: list[str] = []
        while len(names) < events_read:
            line = next(lines)
            if line.startswith("event: "):
                names.append(line)
        assert response.status_code == 200
        wait_for(until)


def finished(client: Served, seconds: float = 5) -> dict:
    """The log line of the question."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for line in client.lines():
            if line.get("route") == "/chat":
                return line
        time.sleep(0.02)
    raise AssertionError(client.said())


def spent(parts: Parts) -> float:
    rows = parts._pool.statement("SELECT coalesce(sum(usd), 0) FROM spend", {}, Deadline.after(5), "look")
    return float(rows[0][0])
