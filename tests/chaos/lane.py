"""Everything that an answer needs, once for each lane, with a front before each service that can fail."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import redis
import trustme

from shared import settings
from shared.adapters.neon.url import DatabaseUrl, parse
from shared.adapters.neon.wire import Rows, Wire
from shared.embedded.fake_gemini import FakeGemini, Fault
from shared.embedded.qdrant import EmbeddedQdrant
from shared.resilience.deadline import Deadline
from shared.settings import ROOT, Settings
from shared.wiring import ingest
from shared.wiring.stack import services
from tests.chaos import matrix
from tests.chaos.impostor import Impostor
from tests.contract.neon_servers import TlsServer, free_port
from tests.fakes.gcs import FakeGcs
from tests.fakes.gcs.faults import OPERATIONS
from tests.fakes.gcs.faults import Fault as GcsFault
from tests.faults import FaultProxy
from tests.local_stack import write_site

KEY, PASSWORD = "fake-key", "before"
SLOW_SECONDS = 5.0
FOR_EVER = 10**9
_REPLY = "HTTP/1.1 {}\r\nContent-Length: 2\r\nConnection: close\r\n{}\r\n{{}}"
_GARBAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n<html>}{</html"
CUT_BYTES = {matrix.EMBEDDING: 300, matrix.GENERATION: 900, matrix.QDRANT: 120, matrix.POSTGRES: 200}
"""How much of an answer arrives before it is reset."""


class Front(FaultProxy):
    """A proxy that can be led to another server."""

    def lead_to(self, target: tuple[str, int]) -> None:
        """Connect to ``target`` from now on."""
        self._target = target
        self.cut_open()


class Lane:
    """One set of services, with a site in it; only one cell is run on it at a time."""

    def __init__(
        self, number: int, tls: TlsServer, folder: Path, parts: ExitStack, *, with_redis: bool
    ) -> None:
        self._tls = tls
        self._role = f"lane_{number}"
        self._admin = parse(tls.server.url)
        self._own = replace(self._admin, database=self._role)
        self._make_database()
        self.gemini = {
            name: parts.enter_context(FakeGemini(KEY)) for name in (matrix.EMBEDDING, matrix.GENERATION)
        }
        self.gcs = parts.enter_context(FakeGcs())
        self._qdrant = _place(parts.enter_context(EmbeddedQdrant(folder / "qdrant")).url)
        self._locked = _place(parts.enter_context(EmbeddedQdrant(folder / "locked", api_key="other")).url)
        targets = {name: ("127.0.0.1", fake.port) for name, fake in self.gemini.items()}
        targets |= {matrix.QDRANT: self._qdrant, matrix.POSTGRES: ("127.0.0.1", tls.port)}
        targets[matrix.BUCKET] = _place(self.gcs.endpoint)
        self.redis: redis.Redis | None = None
        if with_redis:
            targets[matrix.REDIS] = ("127.0.0.1", parts.enter_context(_redis_server()))
            self.redis = redis.Redis("127.0.0.1", targets[matrix.REDIS][1], password=PASSWORD)
            parts.callback(self.redis.close)
        stranger = trustme.CA()
        self.fronts = {name: parts.enter_context(Front(target)) for name, target in targets.items()}
        self.impostors = {
            name: parts.enter_context(Impostor(stranger, postgres=name == matrix.POSTGRES))
            for name in targets
        }
        with services(self.settings()) as ready:
            ingest.run(ready.settings, write_site(folder / "site"), "/docs")

    @property
    def dependencies(self) -> tuple[str, ...]:
        """What can fail here, in the order of the table."""
        return tuple(name for name in matrix.DEPENDENCIES if name in self.fronts)

    def settings(self) -> Settings:
        """Those of a process on the healthy services."""
        return settings.load(self.environment())

    def environment(self, impostors: Collection[str] = ()) -> dict[str, str]:
        """The environment of a function; ``impostors`` stand in the places of these services."""

        def at(name: str, scheme: str = "http", secret: str = "") -> str:
            if name in impostors:
                return f"{scheme}s://{secret}127.0.0.1:{self.impostors[name].port}"
            return f"{scheme}://{secret}127.0.0.1:{self.fronts[name].port}"

        database = self.impostors if matrix.POSTGRES in impostors else self.fronts
        found = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": self._tls.url(
                user=self._role, password=PASSWORD, port=database[matrix.POSTGRES].port
            ).replace("/postgres?", f"/{self._role}?"),
            "QDRANT_URL": at(matrix.QDRANT),
            "STORAGE_BUCKET": f"gs://{self.gcs.bucket.name}",
            "LECTERN_STORAGE_ENDPOINT": at(matrix.BUCKET),
            "GEMINI_API_KEY": KEY,
            "LECTERN_GEMINI_BASE_URL": at(matrix.GENERATION),
            "LECTERN_GEMINI_EMBEDDING_BASE_URL": at(matrix.EMBEDDING),
        }
        return found | ({"REDIS_URL": at(matrix.REDIS, "redis", f":{PASSWORD}@")} if self.redis else {})

    # ------------------------------------------------------------ what is stored

    def forget_cached(self) -> None:
        """Empty the shared caches, so that no cell is answered from one before."""
        self.sql("DELETE FROM cached_answers")
        if self.redis:
            self.redis.flushall()

    def recorded(self) -> set[str]:
        """Ids of the answers that Postgres holds."""
        return {str(row[0]) for row in self.sql("SELECT id FROM answers")}

    def sql(self, text: str, *, admin: bool = False) -> Rows:
        """Run SQL as the server's owner, past every front."""
        return _sql(self._admin if admin else self._own, text)

    def _make_database(self) -> None:
        _sql(self._admin, f"CREATE ROLE {self._role} LOGIN PASSWORD '{PASSWORD}'")
        _sql(self._admin, f"CREATE DATABASE {self._role} OWNER {self._role}")

    # ------------------------------------------------------------ faults

    def strike(self, name: str, fault: str) -> None:
        """Let one service fail from now on, for open connections too."""
        front = self.fronts[name]
        if fault == matrix.REFUSED:
            front.refuse()
        elif fault == matrix.BLACK_HOLE:
            front.black_hole()
            return
        elif fault == matrix.EXPIRED:
            self._expire(name)
        elif name in self.gemini and fault in GEMINI_FAULTS:
            self.gemini[name].faults.always(GEMINI_FAULTS[fault])
        elif name == matrix.BUCKET and fault != matrix.GARBAGE:
            self._strike_bucket(fault)
        else:
            self._strike_wire(front, name, fault)
        if fault != matrix.SLOW:
            front.cut_open()

    def heal(self) -> None:
        """All is well again."""
        for fake in self.gemini.values():
            fake.faults.clear()
            fake.api_key = KEY
        self.gcs.faults.clear()
        for front in self.fronts.values():
            front.heal()
        self.fronts[matrix.QDRANT].lead_to(self._qdrant)
        self._change_password(PASSWORD)
        if self.redis:
            self.redis.config_set("requirepass", PASSWORD)

    def _strike_wire(self, front: Front, name: str, fault: str) -> None:
        if fault == matrix.SLOW:
            front.delay(SLOW_SECONDS)
        elif fault == matrix.THROTTLED:
            front.garbage(_REPLY.format("429 Too Many Requests", "Retry-After: 30\r\n").encode())
        elif fault == matrix.BROKEN:
            front.garbage(_REPLY.format("500 Internal Server Error", "").encode())
        elif fault == matrix.GARBAGE:
            front.garbage(_GARBAGE)
        elif fault == matrix.RESET:
            front.cut_after(CUT_BYTES.get(name, 1))

    def _strike_bucket(self, fault: str) -> None:
        for operation in OPERATIONS:
            made = GcsFault(operation, times=FOR_EVER)
            if fault == matrix.SLOW:
                made.delay = SLOW_SECONDS
            elif fault == matrix.THROTTLED:
                made.status, made.retry_after, made.reason = 429, "30", "rateLimitExceeded"
            elif fault == matrix.BROKEN:
                made.status = 500
            elif fault == matrix.RESET:
                made.cut_response = 20
            self.gcs.faults.add(made)

    def _expire(self, name: str) -> None:
        if name in self.gemini:
            self.gemini[name].api_key = "rotated"
        elif name == matrix.QDRANT:
            self.fronts[name].lead_to(self._locked)
        elif name == matrix.POSTGRES:
            self._change_password("after")
        elif name == matrix.BUCKET:
            for operation in OPERATIONS:
                self.gcs.faults.add(GcsFault(operation, times=FOR_EVER, status=401, reason="authError"))
        elif self.redis:
            self.redis.config_set("requirepass", "after")

    def _change_password(self, password: str) -> None:
        """Sessions that are open go on by themselves: they are ended, as a rotation does."""
        self.sql(f"ALTER ROLE {self._role} PASSWORD '{password}'", admin=True)
        self.sql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{self._role}'",
            admin=True,
        )


GEMINI_FAULTS = {
    matrix.SLOW: Fault(first_byte_delay=SLOW_SECONDS),
    matrix.THROTTLED: Fault(status=429, retry_delay="30s", retry_after="30"),
    matrix.BROKEN: Fault(status=500),
    matrix.GARBAGE: Fault(malformed=True),
}


def _place(url: str) -> tuple[str, int]:
    port = urlsplit(url).port
    assert port
    return "127.0.0.1", port


def _sql(url: DatabaseUrl, text: str) -> Rows:
    soon = Deadline.after(20.0)
    wire = Wire(url, soon)
    try:
        return wire.script(text, soon, "set up")
    finally:
        wire.close()


@contextmanager
def _redis_server() -> Iterator[int]:
    port = free_port()
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "save": "",
        "appendonly": "no",
        "requirepass": PASSWORD,
    }
    command = ["redis-server", *(word for key, value in options.items() for word in (f"--{key}", value))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return
