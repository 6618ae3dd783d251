"""Who may start the internal functions: real RSA keys, a real certificate server on the loopback."""

from __future__ import annotations

import base64
import datetime as dt
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import errors
from shared.access.oidc import Caller, CallerCheck
from shared.adapters.google_tokens import GoogleCertificates, GoogleTokens
from shared.errors import RequestError, SettingsError
from shared.resilience.deadline import Deadline

AUDIENCE = "https://lectern-ingest.example.run.app"
SCHEDULER = "scheduler@docs.iam.gserviceaccount.com"


class Key:
    """An RSA key with a self-signed certificate, as Google publishes them."""

    def __init__(self, key_id: str) -> None:
        self.id = key_id
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "federated-signon")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=10))
            .sign(private, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._signer = crypt.RSASigner.from_string(pem, key_id)

    def token(self, **changes) -> str:
        now = int(time.time())
        claims = {
            "iss": "https://accounts.google.com",
            "aud": AUDIENCE,
            "email": SCHEDULER,
            "email_verified": True,
            "iat": now,
            "exp": now + 3600,
            "sub": "1",
        }
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(self._signer, claims).decode()


class CertificateServer(ThreadingHTTPServer):
    """Publishes what ``keys`` holds, or answers as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.requests = 0
        self.mode = "good"
        self.released = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/certs"


class _Handler(BaseHTTPRequestHandler):
    server: CertificateServer

    def do_GET(self) -> None:
        self.server.requests += 1
        mode = self.server.mode
        body = json.dumps({key.id: key.certificate for key in self.server.keys}).encode()
        if mode == "slow":
            self.server.released.wait(20)
            return
        if mode == "reset":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status = int(mode) if mode.isdigit() else 200
        bodies = {"garbage": b"<html>", "other": b'{"a": "b"}', "none": b"{}", "huge": b" " * 300_000}
        body = bodies.get(mode, body)
        self.send_response(status)
        self.send_header("Cache-Control", "public, max-age=600, must-revalidate")
        self.send_header("Content-Length", str(len(body) + (10 if mode == "cut" else 0)))
        self.end_headers()
        if mode == "trickle":
            self._trickle(body)
        else:
            self.wfile.write(body)

    def _trickle(self, body: bytes) -> None:
        for byte in body:
            if self.server.released.wait(0.05):
                return
            try:
                self.wfile.write(bytes([byte]))
            except OSError:
                return

    def log_message(self, *_args) -> None:
        pass


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def keys() -> list[Key]:
    return [Key("first"), Key("second"), Key("first")]  # the third: another key under a known id


@pytest.fixture
def server(keys: list[Key]) -> Iterator[CertificateServer]:
    running = CertificateServer()
    running.keys = keys[:1]
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield running
    running.released.set()
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client() as made:
        yield made


def soon(seconds: float = 10) -> Deadline:
    return Deadline.after(seconds)


def bearer(token: str, name: str = "authorization") -> dict[str, str]:
    return {name: f"Bearer {token}"}


def verifying(certificates: GoogleCertificates, clock=time.time) -> CallerCheck:
    return CallerCheck(
        mode="verify",
        audience=AUDIENCE,
        allowed_emails=[SCHEDULER],
        verifier=GoogleTokens(certificates),
        clock=clock,
    )


def platform(clock=time.time) -> CallerCheck:
    return CallerCheck(mode="platform", audience=AUDIENCE, allowed_emails=[SCHEDULER], clock=clock)


def without_signature(token: str) -> str:
    return token.rsplit(".", 1)[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"


def refusal(check: CallerCheck, headers: dict[str, str]) -> RequestError:
    with pytest.raises(RequestError) as caught:
        check.check(headers, soon())
    error = caught.value
    assert error.hint
    token = headers.get("authorization", "").removeprefix("Bearer ")
    assert not token or token not in str(error)
    assert (
        error.__cause__ is None
    )  # the library's own message quotes the token, and a traceback would show it
    return error


DAY = 86_400  # the table is made when the module is loaded, and a run of the suite takes minutes
CLAIMS = {
    "other issuer": ({"iss": "https://evil.example"}, 401),
    "no issuer": ({"iss": None}, 401),
    "expired": ({"exp": int(time.time()) - DAY}, 401),
    "from the future": ({"iat": int(time.time()) + DAY}, 401),
    "no expiry": ({"exp": None}, 401),
    "expiry as text": ({"exp": "tomorrow"}, 401),
    "other audience": ({"aud": "https://other.example"}, 403),
    "two audiences": ({"aud": [AUDIENCE, "x"]}, 403),
    "no audience": ({"aud": None}, 403),
    "other account": ({"email": "someone@docs.iam.gserviceaccount.com"}, 403),
    "no email": ({"email": None}, 403),
    "unverified email": ({"email_verified": False}, 403),
    "verified as text": ({"email_verified": "true"}, 403),
    "nothing of verified": ({"email_verified": None}, 403),
}


@pytest.mark.parametrize("case", CLAIMS)
@pytest.mark.parametrize("mode", ["platform", "verify"])
def test_every_claim_is_checked(
    keys: list[Key], server: CertificateServer, client: httpx.Client, mode: str, case: str
) -> None:
    """Any Google account, or a token made for another service, could start ingestion or a restore."""
    changes, status = CLAIMS[case]
    token = keys[0].token(**changes)
    if mode == "platform":
        error = refusal(platform(), bearer(without_signature(token)))
    else:
        error = refusal(verifying(GoogleCertificates(client, endpoint=server.url)), bearer(token))
    assert error.status == status
    assert ("WWW-Authenticate" in error.headers) is (status == 401)


@pytest.mark.parametrize("issuer", ["https://accounts.google.com", "accounts.google.com"])
def test_the_scheduler_gets_in(
    keys: list[Key], server: CertificateServer, client: httpx.Client, issuer: str
) -> None:
    """Nightly ingestion and backups would be refused."""
    token = keys[0].token(iss=issuer)
    check = verifying(GoogleCertificates(client, endpoint=server.url))
    assert check.check(bearer(token), soon()) == Caller(SCHEDULER)
    assert check.check({"authorization": f"bearer  {token}"}, soon()) == Caller(SCHEDULER)
    assert platform().check(bearer(without_signature(token)), soon()) == Caller(SCHEDULER)
    assert server.requests == 1


def test_signatures_count_in_verify(keys: list[Key], server: CertificateServer, client: httpx.Client) -> None:
    """Anybody could write a token for himself."""
    check = verifying(GoogleCertificates(client, endpoint=server.url))
    good = keys[0].token()
    header, claims, signature = good.split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","kid":"first"}').decode().rstrip("=")
    shared_secret = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"first"}').decode().rstrip("=")
    forged = [
        keys[2].token(),
        keys[1].token(),
        f"{header}.{keys[0].token(email='x@y.z').split('.')[1]}.{signature}",
        f"{unsigned}.{claims}.",
        f"{shared_secret}.{claims}.{signature}",
        f"{header}.{claims}.",
        good[:-3],
    ]
    for token in forged:
        assert refusal(check, bearer(token)).status == 401
    assert "platform" in refusal(check, bearer(without_signature(good))).message


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "Bearer "}, {"authorization": "Basic eDp5"}]
)
@pytest.mark.parametrize("mode", ["platform", "verify"])
def test_no_token_no_entry(client: httpx.Client, headers: dict[str, str], mode: str) -> None:
    """A service left open by mistake would let everyone start its jobs."""
    check = (
        platform()
        if mode == "platform"
        else verifying(GoogleCertificates(client, endpoint="http://127.0.0.1:9"))
    )
    assert refusal(check, headers).status == 401


def test_the_token_that_cloud_run_checked_is_the_one_that_counts(keys: list[Key]) -> None:
    """An invoker could claim another account in the header that Cloud Run does not look at."""
    mine = without_signature(keys[0].token(email="me@docs.iam.gserviceaccount.com"))
    forged = without_signature(keys[0].token())
    headers = {**bearer(mine, "x-serverless-authorization"), **bearer(forged)}
    assert refusal(platform(), headers).status == 403


def test_our_own_clock_decides(keys: list[Key], server: CertificateServer, client: httpx.Client) -> None:
    """A token that expired a minute ago would go on working."""
    token = keys[0].token()
    for age, accepted in ((3600 + 20, True), (3600 + 40, False), (-40, False)):
        clock = Clock(time.time() + age)
        for check, sent in (
            (platform(clock), without_signature(token)),
            (verifying(GoogleCertificates(client, endpoint=server.url), clock), token),
        ):
            if accepted:
                assert check.check(bearer(sent), soon())
            else:
                assert refusal(check, bearer(sent)).status == 401


def test_a_check_that_checks_nothing_cannot_be_made() -> None:
    """A forgotten setting would open the internal functions silently."""
    with pytest.raises(SettingsError) as caught:
        CallerCheck(mode="auto", audience="", allowed_emails=[])  # type: ignore[arg-type]
    assert len(caught.value.problems) == 3
    with pytest.raises(SettingsError, match="certificate source"):
        CallerCheck(mode="verify", audience=AUDIENCE, allowed_emails=[SCHEDULER])


def test_a_new_key_is_fetched_and_made_up_ones_are_not(
    keys: list[Key], server: CertificateServer, client: httpx.Client
) -> None:
    """Jobs would fail after Google changes its keys, or a stranger could make us flood Google."""
    clock = Clock(0.0)
    check = verifying(GoogleCertificates(client, endpoint=server.url, floor_seconds=30, clock=clock))
    check.check(bearer(keys[0].token()), soon())
    server.keys = keys[:2]
    for _ in range(5):
        assert refusal(check, bearer(keys[1].token())).status == 401
    assert server.requests == 1
    clock.now = 31
    check.check(bearer(keys[1].token()), soon())
    check.check(bearer(keys[0].token()), soon())
    assert server.requests == 2
    clock.now = 31 + 601  # past max-age=600
    check.check(bearer(keys[0].token()), soon())
    assert server.requests == 3


FAULTS = {
    "500": errors.Overloaded,
    "429": errors.Throttled,
    "403": errors.AccessDenied,
    "404": errors.Rejected,
    "garbage": errors.Garbled,
    "other": errors.Garbled,
    "none": errors.Garbled,
    "huge": errors.Garbled,
    "cut": errors.Interrupted,
    "reset": errors.Interrupted,
    "slow": errors.TimedOut,
    "trickle": errors.TimedOut,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_without_certificates_the_error_says_why(
    keys: list[Key], server: CertificateServer, client: httpx.Client, fault: str
) -> None:
    """A job would be told that its token is wrong when it is Google that does not answer."""
    server.mode = fault
    check = verifying(GoogleCertificates(client, endpoint=server.url))
    started = time.monotonic()
    with pytest.raises(FAULTS[fault]) as caught:
        check.check(bearer(keys[0].token()), soon(0.5))
    assert time.monotonic() - started < 2
    assert caught.value.status == 503


def test_refused_connections_are_not_hammered(keys: list[Key], client: httpx.Client) -> None:
    """While Google cannot be reached, each request would wait for its own failure."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}/"
    clock = Clock(0.0)
    check = verifying(GoogleCertificates(client, endpoint=endpoint, clock=clock))
    seen = []
    for _ in range(3):
        with pytest.raises(errors.Unreachable) as caught:
            check.check(bearer(keys[0].token()), soon())
        seen.append(caught.value)
    assert seen[0] is seen[1] is seen[2]
    clock.now = 31
    with pytest.raises(errors.Unreachable) as caught:
        check.check(bearer(keys[0].token()), soon())
    assert caught.value is not seen[0]


def test_old_certificates_serve_on_for_a_while(
    keys: list[Key], server: CertificateServer, client: httpx.Client
) -> None:
    """An hour in which Google's certificates cannot be fetched would stop backups."""
    clock = Clock(0.0)
    source = GoogleCertificates(client, endpoint=server.url, grace_seconds=3600, clock=clock)
    check = verifying(source)
    check.check(bearer(keys[0].token()), soon())
    server.mode = "500"
    for now in (700.0, 705.0, 600.0 + 3599):
        clock.now = now
        assert check.check(bearer(keys[0].token()), soon())
    with pytest.raises(errors.Overloaded):
        check.check(
            bearer(keys[1].token()), soon()
        )  # an unknown key may be a new one: not the caller's fault
    clock.now = 600 + 3601 + 31
    with pytest.raises(errors.Overloaded):
        check.check(bearer(keys[0].token()), soon())
    server.mode = "good"
    clock.now += 31
    assert check.check(bearer(keys[0].token()), soon())


def test_many_at_once_fetch_once(keys: list[Key], server: CertificateServer, client: httpx.Client) -> None:
    """A cold instance would ask Google once for each request that arrives with the first."""
    check = verifying(GoogleCertificates(client, endpoint=server.url))
    token = keys[0].token()
    seen: list[Caller] = []
    threads = [
        threading.Thread(target=lambda: seen.append(check.check(bearer(token), soon()))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert server.requests == 1


def part(value) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
HEADER = st.fixed_dictionaries({"alg": JSON | st.just("RS256"), "kid": JSON | st.just("first")}) | JSON
TOKENS = st.text(max_size=60) | st.builds(
    lambda h, c, s: f"{part(h)}.{part(c)}.{s}", HEADER, JSON, st.text("aA-_=.", max_size=9)
)
DEEP = base64.urlsafe_b64encode(b"[" * 4000).decode()


def test_no_token_breaks_it(keys: list[Key], server: CertificateServer, client: httpx.Client) -> None:
    """A crafted token would crash the check, and count as an outage."""
    checks = [verifying(GoogleCertificates(client, endpoint=server.url)), platform()]

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(token=TOKENS)
    def run(token: str) -> None:
        for check in checks:
            with pytest.raises(RequestError) as caught:
                check.check({"authorization": "Bearer " + token}, soon())
            assert caught.value.status in {401, 403}

    run()
    for token in (f"{DEEP}.{DEEP}.a", f"{keys[0].token().split('.')[0]}.{DEEP}.a", "x" * 10_000):
        for check in checks:
            assert refusal(check, bearer(token)).status == 401
