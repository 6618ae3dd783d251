"""Who may ask: addresses, limits, spend, keys, tokens and the four modes."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from google.auth import crypt
from google.auth import jwt as google_jwt
from hypothesis import given
from hypothesis import strategies as st

from shared.access.admission import Admission
from shared.access.jwt import ReaderTokens
from shared.access.keys import FLOOR_SECONDS, FRESH_SECONDS, KeyRing, digest
from shared.access.limits import Bucket, InstanceLimits, per_minute, take
from shared.access.modes import KeyGate, PlatformGate, PublicGate, TokenGate
from shared.access.spend import SpendMeter
from shared.access.visitors import VisitorKeys, client_address
from shared.adapters.jwks import issuer_tokens
from shared.errors import DependencyError, Garbled, RequestError, Unreachable
from shared.ports import Allowance, ApiKey, Opening
from shared.resilience.deadline import Deadline

NOW = 1_764_000_000.0
TODAY = time.time()
"""google-auth reads the clock itself."""
DAY = 86_400.0  # also how long tokens hold here: they are checked by the real clock, and a run takes minutes


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def soon() -> Deadline:
    return Deadline.after(10.0)


def status_of(call: Callable[[], object]) -> RequestError:
    with pytest.raises(RequestError) as caught:
        call()
    return caught.value


# ---------------------------------------------------------------- visitors


@pytest.mark.parametrize(
    ("remote", "forwarded", "proxies", "expected"),
    [
        ("10.0.0.1", "", 1, "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4", 0, "10.0.0.1"),
        ("10.0.0.1", "9.9.9.9, 1.2.3.4", 1, "1.2.3.4"),
        ("10.0.0.1", "9.9.9.9, 1.2.3.4, 7.7.7.7", 2, "1.2.3.4"),
        ("10.0.0.1", "1.2.3.4", 3, "1.2.3.4"),
        ("10.0.0.1", "spoof, nonsense", 1, "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4:5678", 1, "1.2.3.4"),
        ("10.0.0.1", "[2001:db8:1:2:3::4]:443", 1, "2001:db8:1:2::/64"),
        ("10.0.0.1", "2001:db8:1:2:ffff::9", 1, "2001:db8:1:2::/64"),
        ("10.0.0.1", "::ffff:1.2.3.4", 1, "1.2.3.4"),
        ("", "", 1, "unknown"),
    ],
)
def test_the_address_is_the_last_that_a_trusted_proxy_saw(remote, forwarded, proxies, expected) -> None:
    """Anybody could write a made-up address into a header and have a full bucket for each question."""
    assert client_address(remote, forwarded, proxies) == expected


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("1.2.3.4,203.0.113.7", "1.2.3.4"),
        ("9.9.9.9, 1.2.3.4, 203.0.113.7", "1.2.3.4"),
        ("203.0.113.7, 1.2.3.4, 203.0.113.7", "1.2.3.4"),
        ("1.2.3.4", "1.2.3.4"),
        ("9.9.9.9, 1.2.3.4", "1.2.3.4"),
        ("9.9.9.9, 203.0.113.7, 1.2.3.4", "1.2.3.4"),
    ],
)
def test_a_caller_who_passes_the_load_balancer_by_is_known_all_the_same(
    forwarded: str, expected: str
) -> None:
    """At chat's own address anybody could pretend to come through the load balancer from somebody else."""
    assert client_address("10.0.0.1", forwarded, 1, "203.0.113.7") == expected


@given(st.text(max_size=200), st.text(max_size=60), st.integers(0, 3))
def test_no_header_breaks_the_address(forwarded: str, remote: str, proxies: int) -> None:
    """A crafted header would be answered with a 500."""
    assert client_address(remote, forwarded, proxies)


@given(st.text(alphabet="0123456789.,: ", max_size=100))
def test_what_a_caller_adds_at_the_left_changes_nothing(spoofed: str) -> None:
    """A visitor would escape the limit by sending the header along."""
    assert client_address("10.0.0.1", f"{spoofed},1.2.3.4", 1) == "1.2.3.4"


def test_a_visitor_is_nobody_and_somebody_else_tomorrow() -> None:
    """Readers could be followed through the days by what is stored of them."""
    clock = Clock()
    keys = VisitorKeys(b"secret", clock)
    today = keys.key("visitor", "1.2.3.4")
    assert today == VisitorKeys(b"secret", clock).key("visitor", "1.2.3.4")
    assert "1.2.3.4" not in today
    others = {VisitorKeys(b"other", clock).key("visitor", "1.2.3.4"), keys.key("subject", "1.2.3.4")}
    clock.now += DAY
    others.add(keys.key("visitor", "1.2.3.4"))
    assert len(others | {today}) == 4


# ---------------------------------------------------------------- limits


@given(
    st.floats(1, 50),
    st.floats(0.01, 10),
    st.lists(st.floats(0, 100), min_size=1, max_size=60),
)
def test_no_caller_gets_more_than_its_bucket_and_its_refill(capacity, per_second, pauses) -> None:
    """The limit would leak: over any time more questions than agreed would be answered."""
    allowance, bucket, now, granted = Allowance(capacity, per_second), None, 0.0, 0
    for pause in pauses:
        now += pause
        taken = take(bucket, allowance, now)
        bucket, granted = taken.bucket, granted + taken.granted
        if not taken.granted:
            after = take(bucket, allowance, now + taken.retry_after + 1e-6)
            assert after.granted
            assert 0 < taken.retry_after <= 1 / per_second + 1e-9
    first = pauses[0]
    assert granted <= capacity + per_second * (now - first) + 1e-6


def test_time_that_goes_back_refills_nothing() -> None:
    """A clock that is set back and forth would hand out questions."""
    taken = take(Bucket(0.0, 100.0), Allowance(5, 1), 50.0)
    assert (taken.granted, taken.bucket) == (False, Bucket(0.0, 100.0))


def test_an_instance_knows_only_so_many_callers() -> None:
    """A flood of addresses would fill the instance's memory."""
    limits = InstanceLimits(Clock(), most=10)
    for number in range(50):
        limits.take(f"v{number}", per_minute(1))
        limits.refuse(f"v{number}", 60)
    assert (len(limits._buckets), len(limits._refused)) == (10, 10)
    assert not limits.take("v49", per_minute(1)).granted


# ---------------------------------------------------------------- spend


def test_above_a_cap_nothing_is_spent_until_the_period_ends() -> None:
    """The bill would grow beyond what the operator allowed, or generation would stay off for ever."""
    clock = Clock(NOW)
    meter = SpendMeter(1.0, 2.0, clock)
    assert meter.over() == ""
    meter.add(0.6)
    meter.note(0.9, 1.5)
    assert meter.over() == ""
    meter.add(0.2)
    assert "day" in meter.over()
    clock.now += DAY
    assert meter.over() == ""
    meter.note(0.0, 2.0)
    assert "month" in meter.over()
    clock.now += 31 * DAY
    assert meter.over() == ""


def test_without_a_cap_there_is_no_limit() -> None:
    """A cap of 0 would mean no generated answer at all."""
    meter = SpendMeter(0, 0, Clock())
    meter.add(1e9)
    assert meter.over() == ""


# ---------------------------------------------------------------- keys


class Keys:
    """A list of keys whose database can go away."""

    def __init__(self, *keys: ApiKey) -> None:
        self.listed = list(keys)
        self.down = False
        self.reads = 0

    def add(self, key: ApiKey, deadline: Deadline) -> None:  # noqa: ARG002 - the port's
        self.listed.append(key)

    def all(self, deadline: Deadline) -> list[ApiKey]:  # noqa: ARG002 - the port's
        self.reads += 1
        if self.down:
            raise Unreachable("neon", "read the API keys", "refused")
        return list(self.listed)

    def revoke(self, key_id: str, deadline: Deadline) -> bool:  # noqa: ARG002 - the port's
        self.listed = [replace(one, revoked_at=NOW) if one.id == key_id else one for one in self.listed]
        return True


def api_key(name: str) -> ApiKey:
    return ApiKey(name, name, digest(f"lk_{name}"), 30, NOW)


def test_a_known_key_goes_on_working_without_the_database() -> None:
    """Every reader of a site with keys would be locked out while Postgres is down."""
    keys, clock = Keys(api_key("a")), Clock()
    ring = KeyRing(keys, clock)
    assert ring.find("lk_a", soon()).id == "a"
    keys.down = True
    clock.now += 10 * FRESH_SECONDS
    assert ring.find("lk_a", soon()).id == "a"
    unknown = status_of(lambda: ring.find("lk_b", soon()))
    assert (unknown.status, unknown.headers) == (503, {"Retry-After": str(int(FLOOR_SECONDS))})


def test_a_key_that_was_never_made_is_refused_and_not_looked_up_each_time() -> None:
    """Made-up keys would cost a round trip each, and load the database that answers need."""
    keys = Keys(api_key("a"))
    ring = KeyRing(keys, Clock())
    assert {status_of(lambda n=n: ring.find(f"lk_{n}", soon())).status for n in range(50)} == {401}
    assert keys.reads == 1
    assert status_of(lambda: ring.find("", soon())).status == 401
    assert status_of(lambda: ring.find("x" * 10_000, soon())).status == 401


def test_a_new_key_works_soon_and_a_revoked_one_ends() -> None:
    """A key handed to a customer would not work, or one that leaked would work for ever."""
    keys, clock = Keys(), Clock()
    ring = KeyRing(keys, clock)
    assert status_of(lambda: ring.find("lk_a", soon())).status == 401
    keys.add(api_key("a"), soon())
    clock.now += FLOOR_SECONDS
    assert ring.find("lk_a", soon()).requests_per_minute == 30
    keys.revoke("a", soon())
    clock.now += FRESH_SECONDS
    assert status_of(lambda: ring.find("lk_a", soon())).status == 401


def test_an_instance_that_never_saw_the_keys_says_so() -> None:
    """A good key would be called wrong because the database was down at the start."""
    keys = Keys(api_key("a"))
    keys.down = True
    assert status_of(lambda: KeyRing(keys, Clock()).find("lk_a", soon())).status == 503


# ---------------------------------------------------------------- tokens


class Issuer:
    """An identity provider on loopback with an RSA and an EC key."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.body = self.document()
        self.reads = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.reads += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(issuer.body)))
                self.end_headers()
                self.wfile.write(issuer.body)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks"

    def document(self) -> bytes:
        numbers, point = self.rsa.public_key().public_numbers(), self.ec.public_key().public_numbers()
        return json.dumps(
            {
                "keys": [
                    {"kty": "oct", "kid": "secret", "k": "AAAA"},
                    {"kty": "RSA", "kid": "enc", "use": "enc", "n": b64(numbers.n), "e": b64(numbers.e)},
                    {"kty": "RSA", "kid": "r", "use": "sig", "n": b64(numbers.n), "e": b64(numbers.e)},
                    {"kty": "EC", "crv": "P-256", "kid": "e", "x": b64(point.x, 32), "y": b64(point.y, 32)},
                ]
            }
        ).encode()

    def token(self, kid: str = "r", **changes: object) -> str:
        claims = {"iss": "https://id.example", "aud": "docs", "sub": "u1", "iat": TODAY, "exp": TODAY + DAY}
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        key = self.ec if kid == "e" else self.rsa
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        signer = crypt.EsSigner if kid == "e" else crypt.RSASigner
        return google_jwt.encode(signer.from_string(pem, kid), claims).decode()


def b64(number: int, size: int = 0) -> str:
    raw = number.to_bytes(size or (number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def tokens(issuer: Issuer) -> Iterator[ReaderTokens]:
    with httpx.Client(trust_env=False) as client:
        verifier = issuer_tokens(client, issuer.url, Clock())
        yield ReaderTokens(verifier, "https://id.example", "docs", Clock(TODAY))


@pytest.mark.parametrize("kid", ["r", "e"])
def test_a_reader_with_a_good_token_may_ask(issuer: Issuer, tokens: ReaderTokens, kid: str) -> None:
    """Readers of a site behind a login could not ask, or its keys would be fetched for each question."""
    before = issuer.reads
    assert tokens.subject(issuer.token(kid), soon()) == "u1"
    assert tokens.subject(issuer.token(kid, aud=["x", "docs"]), soon()) == "u1"
    assert issuer.reads == before + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"aud": ["a", "b"]},
        {"exp": TODAY - 600},
        {"exp": None},
        {"nbf": TODAY + DAY},
        {"nbf": "soon"},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sub": "x" * 300},
    ],
)
def test_each_claim_is_checked(issuer: Issuer, tokens: ReaderTokens, changes: dict) -> None:
    """A token of another service, of another issuer or of last year would let anybody in."""
    assert status_of(lambda: tokens.subject(issuer.token(**changes), soon())).status == 401


def test_a_token_that_nobody_signed_is_refused(issuer: Issuer, tokens: ReaderTokens) -> None:
    """Anybody could write a token, with no signature or with the public key as a shared secret."""
    head, claims, signature = issuer.token().split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"r"}').rstrip(b"=").decode()
    hmac = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"r"}').rstrip(b"=").decode()
    mixed = base64.urlsafe_b64encode(b'{"alg":"ES256","kid":"r"}').rstrip(b"=").decode()
    wrong = ["", "x", f"{none}.{claims}.", f"{hmac}.{claims}.{signature}", f"{mixed}.{claims}.{signature}"]
    wrong += [f"{head}.{claims}.{signature[:-8]}AAAAAAAA", issuer.token(kid="enc"), "y" * 9000]
    for token in wrong:
        assert status_of(lambda token=token: tokens.subject(token, soon())).status == 401


def test_an_issuer_that_is_away_is_an_outage_and_no_refusal(issuer: Issuer) -> None:
    """Readers would be told that their login is wrong while the identity provider is down."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with httpx.Client(trust_env=False) as client:
        away = issuer_tokens(client, f"http://127.0.0.1:{port}/jwks", Clock())
        with pytest.raises(DependencyError):
            ReaderTokens(away, "https://id.example", "docs", Clock()).subject(issuer.token(), soon())


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"keys": 7}', b'{"keys": [{"kid": "a", "kty": "RSA"}]}']
)
def test_what_is_no_key_set_is_named(body: bytes) -> None:
    """An error page of the identity provider would be a stack trace."""
    from shared.adapters.jwks import parse_jwks

    with pytest.raises(Garbled):
        parse_jwks(body)


# ---------------------------------------------------------------- the four modes


VISITORS = VisitorKeys(b"secret", Clock())


def test_public_mode_lets_listed_sites_and_tools_in_and_no_other_site() -> None:
    """A foreign site could spend the operator's money from its visitors' browsers."""
    gate = PublicGate({"https://docs.example"}, VISITORS, 60, 1)
    host = {"host": "chat.example", "x-forwarded-for": "1.2.3.4"}
    for origin in ({}, {"origin": "https://docs.example"}, {"origin": "https://chat.example"}):
        caller = gate.admit({**host, **origin}, "10.0.0.1", soon())
        assert caller.bucket == VISITORS.key("visitor", "1.2.3.4")
        assert caller.allowance == Allowance(60, 1)
    for origin in ("https://evil.example", "null", "https://docs.example.evil", "https://docs.example:1"):
        refused = status_of(lambda origin=origin: gate.admit({**host, "origin": origin}, "", soon()))
        assert (refused.status, refused.code) == (403, "origin_not_allowed")


def test_key_mode_takes_the_key_from_either_header_and_its_own_limit() -> None:
    """A customer's key would not be found, or share another one's limit."""
    gate = KeyGate(KeyRing(Keys(api_key("a")), Clock()))
    for headers in ({"x-api-key": "lk_a"}, {"authorization": "Bearer lk_a"}):
        caller = gate.admit(headers, "", soon())
        assert (caller.bucket, caller.allowance) == ("key:a", per_minute(30))
    assert status_of(lambda: gate.admit({}, "", soon())).status == 401


def test_jwt_mode_limits_a_subject_without_naming_it(issuer: Issuer, tokens: ReaderTokens) -> None:
    """One reader with two browsers would have two limits, and the table would name the person."""
    gate = TokenGate(tokens, VISITORS, 60)
    caller = gate.admit({"authorization": f"Bearer {issuer.token()}"}, "", soon())
    assert caller.bucket == VISITORS.key("subject", "u1")
    assert status_of(lambda: gate.admit({}, "", soon())).status == 401


def test_platform_mode_reads_the_token_that_cloud_run_checked(issuer: Issuer) -> None:
    """All callers behind IAM would share one limit, or choose it by a header that nobody checked."""
    gate = PlatformGate(VISITORS, 60)
    checked = {"x-serverless-authorization": f"Bearer {issuer.token(sub='real')}"}
    caller = gate.admit({**checked, "authorization": f"Bearer {issuer.token(sub='x')}"}, "", soon())
    assert caller.bucket == VISITORS.key("caller", "real")
    for headers in ({}, {"authorization": "Bearer x.y.z"}, {"authorization": "Basic x"}):
        assert status_of(lambda headers=headers: gate.admit(headers, "", soon())).status == 401


# ---------------------------------------------------------------- at the door


class Bank:
    """A memory whose opening can be told what to answer."""

    def __init__(self) -> None:
        self.opening: Opening | Exception = Opening(True, 0.0, None, 0, 0, ())
        self.asked = 0

    def open_question(self, deadline: Deadline, **_: object) -> Opening:  # noqa: ARG002 - the port's
        self.asked += 1
        if isinstance(self.opening, Exception):
            raise self.opening
        return self.opening


def door(bank: Bank, clock: Clock) -> Admission:
    gate = PublicGate((), VISITORS, 2, 0)
    return Admission(gate, bank, InstanceLimits(clock), SpendMeter(1, 0, Clock()))


def opened(admission: Admission):
    caller = admission.admit({}, "1.2.3.4", soon())
    return admission.open(caller, soon(), cache_key="k", conversation_id="c")


def test_a_refused_caller_is_told_when_to_come_back_and_costs_nothing_until_then() -> None:
    """A flood would cost the database a round trip a question, which readers wait for."""
    bank, clock = Bank(), Clock()
    admission = door(bank, clock)
    bank.opening = Opening(False, 7.2, None, 0, 0, ())
    refused = status_of(lambda: opened(admission))
    assert (refused.status, refused.headers) == (429, {"Retry-After": "8"})
    assert {status_of(lambda: opened(admission)).status for _ in range(20)} == {429}
    assert bank.asked == 1
    clock.now += 8
    bank.opening = Opening(True, 0.0, None, 2.0, 2.0, ())
    assert opened(admission).opening is bank.opening
    assert admission.meter.over()


def test_without_the_database_each_instance_keeps_the_limit() -> None:
    """While Postgres is down a single visitor could ask without end, or nobody at all."""
    bank = Bank()
    bank.opening = Unreachable("neon", "open", "refused")
    admission = door(bank, Clock())
    first = opened(admission)
    assert first.opening is None
    assert "unreachable" in first.degraded
    opened(admission)
    assert status_of(lambda: opened(admission)).status == 429
