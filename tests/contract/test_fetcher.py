"""Fetching the pages of a site, from real servers on loopback: what is refused, and what ends in time."""

from __future__ import annotations

import gzip
import ssl
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any

import pytest
import trustme

from shared.adapters.web.fetcher import MOST_REDIRECTS, SafeFetcher
from shared.adapters.web.hosts import look_up, refusal
from shared.errors import (
    AccessDenied,
    DependencyError,
    Garbled,
    Interrupted,
    Missing,
    Overloaded,
    Rejected,
    TimedOut,
    Unreachable,
)
from shared.resilience.deadline import Deadline
from tests.local_stack import free_port
from tests.web_server import Answer, WebServer, web_server

MOST = 1 << 20


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.guard = threading.Lock()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self.guard:
            self.now += seconds


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


@pytest.fixture
def moments() -> FakeTime:
    return FakeTime()


def fetcher_of(base: str, moments: FakeTime, **more: Any) -> SafeFetcher:
    given: dict[str, Any] = {"allowed_hosts": ("127.0.0.1",), "per_second": 1000.0, **more}
    return SafeFetcher(base, clock=moments.clock, sleep=moments.sleep, **given)


@pytest.fixture
def fetcher(server: WebServer, moments: FakeTime) -> Iterator[SafeFetcher]:
    made = fetcher_of(f"{server.url}/docs", moments)
    yield made
    made.close()


def soon(moments: FakeTime, seconds: float = 60.0) -> Deadline:
    return Deadline.after(seconds, moments.clock)


def test_a_page_comes_with_what_tells_whether_it_changed(
    server: WebServer, fetcher: SafeFetcher, moments: FakeTime
) -> None:
    """Every page would be fetched whole in every run."""
    facts = {"ETag": '"v1"', "Last-Modified": "Mon, 05 Jan 2026 10:00:00 GMT", "X-Robots-Tag": "noindex"}

    def page(heads: Any) -> Answer:
        same = heads.get("if-none-match") == '"v1"' or "if-modified-since" in heads
        return Answer(b"" if same else b"<p>x", 304 if same else 200, {"Content-Type": "text/html", **facts})

    server.routes["/docs/a"] = page
    found = fetcher.fetch(server.url + "/docs/a#part", soon(moments), most_bytes=MOST)
    assert (found.body, found.fresh, found.etag, found.modified, found.robots, found.content_type) == (
        b"<p>x",
        True,
        '"v1"',
        facts["Last-Modified"],
        "noindex",
        "text/html",
    )
    for more in ({"etag": found.etag}, {"modified": found.modified}):
        again = fetcher.fetch(server.url + "/docs/a", soon(moments), most_bytes=MOST, **more)
        assert (again.fresh, again.body) == (False, b"")


def test_each_header_with_rules_for_robots_stays_apart(
    server: WebServer, fetcher: SafeFetcher, moments: FakeTime
) -> None:
    """A rule for all robots after one for another robot would be taken for that one's: the page is quoted."""
    rules = b"X-Robots-Tag: otherbot: nofollow\r\nX-Robots-Tag: noindex\r\n"
    server.routes["/docs/a"] = Answer(
        raw=lambda: iter([b"HTTP/1.1 200 OK\r\n" + rules + b"Content-Length: 1\r\n\r\nx"])
    )
    found = fetcher.fetch(server.url + "/docs/a", soon(moments), most_bytes=MOST)
    assert found.robots == "otherbot: nofollow\nnoindex"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "identity", ""])
def test_compressed_pages_are_opened(
    server: WebServer, fetcher: SafeFetcher, moments: FakeTime, encoding: str
) -> None:
    """Most servers compress; the index would be full of noise."""
    body = "Äpfel ".encode() * 1000
    sent = gzip.compress(body) if "gzip" in encoding else body
    server.routes["/docs/a"] = Answer(sent, headers={"Content-Encoding": encoding} if encoding else {})
    assert fetcher.fetch(server.url + "/docs/a", soon(moments), most_bytes=MOST).body == body


def bomb(size: int) -> bytes:
    return gzip.compress(bytes(size), 9)


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (Answer(bomb(20 << 20), headers={"Content-Encoding": "gzip"}), Rejected, "1.0 MiB"),
        (Answer(bytes(MOST + 1)), Rejected, "1.0 MiB"),
        (Answer(b"x", headers={"Content-Length": str(MOST + 1)}), Rejected, "1.0 MiB"),
        (
            Answer(raw=lambda: iter([b"HTTP/1.1 200 OK\r\n\r\n", *[bytes(1 << 16)] * 40])),
            Rejected,
            "1.0 MiB",
        ),
        (Answer(b"x", headers={"Content-Encoding": "br"}), Rejected, "not asked for"),
        (Answer(b"x", headers={"Content-Encoding": "zstd"}), Rejected, "not asked for"),
        (Answer(b"x", headers={"Content-Encoding": "gzip, gzip"}), Rejected, "not asked for"),
        (Answer(b"no gzip", headers={"Content-Encoding": "gzip"}), Garbled, "cannot be read"),
        (
            Answer(gzip.compress(bytes(999))[:-9], headers={"Content-Encoding": "gzip"}),
            Garbled,
            "before its end",
        ),
        (Answer(raw=lambda: iter([b"SSH-2.0-OpenSSH\r\n\r\n"])), Garbled, "/docs/a"),
        (
            Answer(raw=lambda: iter([b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, b"\r\n\r\n"])),
            Garbled,
            "/docs/a",
        ),
        (
            Answer(raw=lambda: iter([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"])),
            Interrupted,
            "/docs/a",
        ),
        (Answer(raw=lambda: iter([])), Interrupted, "/docs/a"),
        (Answer(status=404), Missing, "404"),
        (Answer(status=410), Missing, "410"),
        (Answer(status=403), AccessDenied, "403"),
        (Answer(status=500), Overloaded, "500"),
        (Answer(status=418), Rejected, "418"),
        (Answer(status=302, headers={}), Garbled, "nowhere"),
    ],
)
def test_bad_answers_end_in_a_named_error(
    server: WebServer, fetcher: SafeFetcher, answer: Answer, error: type[DependencyError], said: str
) -> None:
    """A bomb would take the memory, a cut page would be indexed as if it were whole."""
    server.routes["/docs/a"] = answer
    with pytest.raises(error, match=said) as caught:
        fetcher.fetch(server.url + "/docs/a", Deadline.after(60), most_bytes=MOST)
    assert caught.value.code == error.code


def test_a_ratio_beyond_all_pages_is_a_bomb(
    server: WebServer, fetcher: SafeFetcher, moments: FakeTime
) -> None:
    """A sitemap may be large: a bomb below its bound would still cost memory and time."""
    server.routes["/docs/sitemap.xml"] = Answer(bomb(40 << 20), headers={"Content-Encoding": "gzip"})
    with pytest.raises(Rejected, match="100 times"):
        fetcher.fetch(server.url + "/docs/sitemap.xml", soon(moments), most_bytes=50 << 20)


def test_a_bomb_is_noticed_before_it_is_in_memory(
    server: WebServer, fetcher: SafeFetcher, moments: FakeTime
) -> None:
    """The function would be ended for its memory, with all that it was doing."""
    server.routes["/docs/a"] = Answer(bomb(60 << 20), headers={"Content-Encoding": "gzip"})
    tracemalloc.start()
    try:
        with pytest.raises(Rejected):
            fetcher.fetch(server.url + "/docs/a", soon(moments), most_bytes=MOST)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/computeMetadata/v1/",
        "http://metadata.google.internal/",
        "http://localhost:{port}/docs/b",
        "http://127.0.0.1:1/docs/b",
        "https://127.0.0.1:{port}/docs/b",
        "/admin",
        "/docs/../admin",
        "/docs/%2e%2e/admin",
        "/docsecret",
        "//evil.example/docs/b",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/docs/",
        "http://user:word@127.0.0.1:{port}/docs/b",
        "http://[::1]:{port}/docs/b",
        "http://[bad/docs",
        "http://127.0.0.1:99999/docs",
    ],
)
def test_a_redirect_never_leaves_the_site(
    server: WebServer, fetcher: SafeFetcher, moments: FakeTime, target: str
) -> None:
    """A page could make Lectern read the machine's own services, or a token, into its answers."""
    there = target.format(port=server.port)
    server.routes["/docs/a"] = Answer(status=302, headers={"Location": there})
    with pytest.raises(Rejected, match="not part of"):
        fetcher.fetch(server.url + "/docs/a", soon(moments), most_bytes=MOST)
    with pytest.raises(Rejected, match="not part of"):
        fetcher.fetch(there if "://" in there else server.url + there, soon(moments), most_bytes=MOST)
    assert server.asked == ["/docs/a"]


def test_redirects_within_the_site_are_followed_for_a_while(
    server: WebServer, fetcher: SafeFetcher, moments: FakeTime
) -> None:
    """Pages that moved would be lost; two pages that point at each other would never end."""
    for number in range(MOST_REDIRECTS):
        server.routes[f"/docs/{number}"] = Answer(status=301, headers={"Location": str(number + 1)})
    server.routes[f"/docs/{MOST_REDIRECTS}"] = Answer(b"end")
    found = fetcher.fetch(server.url + "/docs/0", soon(moments), most_bytes=MOST)
    assert (found.url, found.body) == (f"{server.url}/docs/{MOST_REDIRECTS}", b"end")
    server.routes[f"/docs/{MOST_REDIRECTS}"] = Answer(status=307, headers={"Location": "/docs/0"})
    with pytest.raises(Rejected, match="redirects more than"):
        fetcher.fetch(server.url + "/docs/0", soon(moments), most_bytes=MOST)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.1.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::8.8.8.8",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "100::1",
        "not an address",
        "",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    """A name of the site could lead into the network that Lectern runs in."""
    assert refusal(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_public_addresses_are_good(address: str) -> None:
    """No site could be read."""
    assert refusal(address) == ""


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "100.64.0.1", "::1", "fd12::1", "::ffff:10.1.2.3"]
)
def test_local_use_reaches_private_networks(address: str) -> None:
    """A site inside of a company's network could not be read although the operator named it."""
    assert refusal(address, allow_local=True) == ""


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "169.254.1.1", "224.0.0.1", "0.0.0.0"],
)
def test_local_use_never_reaches_metadata(address: str) -> None:
    """Whoever holds an allowed name could point it at the tokens of the service account."""
    assert refusal(address, allow_local=True)


def resolver(*answers: Sequence[str]) -> Any:
    """Gives these answers one after the other, the last one for ever."""
    left = list(answers)

    def resolve(_host: str, _port: int, _seconds: float) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]]
)
def test_a_name_that_leads_inside_is_refused(
    server: WebServer, moments: FakeTime, addresses: list[str]
) -> None:
    """A public name may resolve to a private address, alone or among good ones."""
    base = f"https://docs.acme.example:{server.port}/"
    fetcher = fetcher_of(base, moments, resolve=resolver(addresses))
    with pytest.raises(Rejected, match="must not be fetched"):
        fetcher.fetch(base + "a", soon(moments), most_bytes=MOST)
    assert server.asked == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "localhost", "[::1]"])
def test_other_ways_to_write_loopback_are_refused(server: WebServer, moments: FakeTime, host: str) -> None:
    """A filter of texts would let them pass."""
    base = f"https://{host}:{server.port}/"
    fetcher = fetcher_of(base, moments, allowed_hosts=())
    with pytest.raises((Rejected, Unreachable)):
        fetcher.fetch(base + "a", soon(moments), most_bytes=MOST)
    assert server.asked == []


def test_a_name_that_changes_its_address_gains_nothing(server: WebServer, moments: FakeTime) -> None:
    """The name is checked and then resolved again (DNS rebinding): the second answer would not be checked."""
    base = f"http://docs.acme.example:{server.port}/"
    server.routes["/a"] = Answer(b"x", headers={"Connection": "close"})
    swings = resolver(["127.0.0.1"], ["169.254.169.254"])
    fetcher = fetcher_of(base, moments, allowed_hosts=("docs.acme.example",), resolve=swings)
    assert fetcher.fetch(base + "a", soon(moments), most_bytes=MOST).body == b"x"
    with pytest.raises(Rejected, match=r"169\.254\.169\.254"):
        fetcher.fetch(base + "a", soon(moments), most_bytes=MOST)
    assert server.asked == ["/a"]


@pytest.mark.parametrize(
    "base",
    [
        "http://docs.acme.example/",
        "ftp://127.0.0.1/",
        "https://user@docs.acme.example/",
        "https:///docs",
        "https://[bad/",
        "docs",
        "",
    ],
)
def test_a_site_that_cannot_be_one_is_named_at_once(base: str, moments: FakeTime) -> None:
    """The run would begin and fail for each page."""
    with pytest.raises(Rejected, match="must not be fetched"):
        fetcher_of(base, moments)


def test_the_name_is_verified_though_the_address_was_chosen_here(moments: FakeTime) -> None:
    """TLS to an address would accept any certificate, or none."""
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("docs.acme.example").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with web_server(serving) as server:
        server.routes["/a"] = Answer(b"x")
        for host, good in (("docs.acme.example", True), ("other.example", False)):
            base = f"https://{host}:{server.port}/"
            fetcher = fetcher_of(
                base, moments, allowed_hosts=(host,), resolve=resolver(["127.0.0.1"]), tls=trusting
            )
            if good:
                assert fetcher.fetch(base + "a", soon(moments), most_bytes=MOST).body == b"x"
                assert server.heads[0]["host"] == f"{host}:{server.port}"
            else:
                with pytest.raises(Unreachable, match="certificate"):
                    fetcher.fetch(base + "a", soon(moments), most_bytes=MOST)
            fetcher.close()
        strict = fetcher_of(
            f"https://docs.acme.example:{server.port}/",
            moments,
            allowed_hosts=("docs.acme.example",),
            resolve=resolver(["127.0.0.1"]),
        )
        with pytest.raises(Unreachable, match="certificate"):
            strict.fetch(strict.base + "a", soon(moments), most_bytes=MOST)


def drip(server: WebServer, start: bytes, piece: bytes) -> Answer:
    def pieces() -> Iterator[bytes]:
        yield start
        for _ in range(120):
            if server.ended.wait(0.05):
                return
            yield piece

    return Answer(raw=pieces)


@pytest.mark.parametrize(
    ("start", "piece"),
    [(b"HTTP/1.1 200 OK\r\nX: ", b"y"), (b"HTTP/1.1 200 OK\r\n\r\n", b"y"), (b"", b"")],
)
def test_a_server_that_drips_is_left_in_time(server: WebServer, start: bytes, piece: bytes) -> None:
    """One byte at a time resets every time-out: one page would hold a run for ever."""
    server.routes["/docs/a"] = drip(server, start, piece)
    fetcher = SafeFetcher(server.url, allowed_hosts=("127.0.0.1",))
    started = time.monotonic()
    with pytest.raises(TimedOut):
        fetcher.fetch(server.url + "/docs/a", Deadline.after(0.6), most_bytes=MOST)
    assert time.monotonic() - started < 3
    fetcher.close()


def test_a_port_where_nobody_listens(moments: FakeTime) -> None:
    """The message would be a stack trace."""
    base = f"http://127.0.0.1:{free_port()}/"
    with pytest.raises(Unreachable, match="refused"):
        fetcher_of(base, moments).fetch(base, soon(moments), most_bytes=MOST)


def test_a_name_that_does_not_exist(moments: FakeTime) -> None:
    """The message would not say which name is wrong."""
    base = "https://docs.acme.invalid/"
    fetcher = fetcher_of(base, moments, resolve=look_up)
    with pytest.raises(Unreachable, match=r"docs\.acme\.invalid"):
        fetcher.fetch(base, soon(moments, 20), most_bytes=MOST)


@pytest.mark.parametrize("pause", ["7", "date"])
def test_a_pause_that_the_site_asks_for_is_kept(
    server: WebServer, fetcher: SafeFetcher, moments: FakeTime, pause: str
) -> None:
    """The site's operator would block Lectern."""
    said = pause if pause == "7" else formatdate(time.time() + 9, usegmt=True)
    first = [Answer(status=429, headers={"Retry-After": said})]
    server.routes["/docs/a"] = lambda _heads: first.pop() if first else Answer(b"x")
    assert fetcher.fetch(server.url + "/docs/a", soon(moments), most_bytes=MOST).body == b"x"
    assert moments.now >= 7


def test_a_pause_holds_for_every_page_and_ends_at_the_deadline(
    server: WebServer, fetcher: SafeFetcher, moments: FakeTime
) -> None:
    """The other pages would go on asking a site that said no, or a run would wait for an hour."""
    server.routes["/docs/a"] = Answer(status=503, headers={"Retry-After": "3600"})
    server.routes["/docs/b"] = Answer(b"x")
    with pytest.raises(Overloaded) as caught:
        fetcher.fetch(server.url + "/docs/a", soon(moments, 30), most_bytes=MOST)
    assert caught.value.retry_after == 300
    with pytest.raises(TimedOut, match="pause"):
        fetcher.fetch(server.url + "/docs/b", soon(moments, 30), most_bytes=MOST)
    assert server.asked == ["/docs/a"]
    moments.sleep(300)
    assert fetcher.fetch(server.url + "/docs/b", soon(moments, 30), most_bytes=MOST).body == b"x"


def test_errors_that_pass_are_tried_again_within_a_budget(
    server: WebServer, fetcher: SafeFetcher, moments: FakeTime
) -> None:
    """One hiccup would leave a page out, or retries would multiply the load of a site that is down."""
    bad = [Answer(status=500), Answer(raw=lambda: iter([]))]
    server.routes["/docs/a"] = lambda _heads: bad.pop() if bad else Answer(b"x")
    assert fetcher.fetch(server.url + "/docs/a", soon(moments), most_bytes=MOST).body == b"x"
    server.routes["/docs/b"] = Answer(status=500)
    server.asked.clear()
    for _ in range(30):
        with pytest.raises(Overloaded):
            fetcher.fetch(server.url + "/docs/b", soon(moments), most_bytes=MOST)
    assert len(server.asked) <= 30 + 30


def test_a_site_is_asked_by_few_connections_and_evenly(server: WebServer, moments: FakeTime) -> None:
    """An ingestion would look like an attack."""
    gate = threading.Event()

    def page(_heads: Any) -> Answer:
        gate.wait(0.2)
        return Answer(b"x")

    server.routes["/a"] = page
    fetcher = fetcher_of(server.url, moments, connections=2, per_second=5.0)
    with ThreadPoolExecutor(6) as pool:
        bodies = list(
            pool.map(
                lambda _: fetcher.fetch(server.url + "/a", soon(moments), most_bytes=MOST).body, range(11)
            )
        )
    assert bodies == [b"x"] * 11
    assert server.most_at_once <= 2
    assert moments.now >= 10 / 5.0 - 0.3
    fetcher.close()
