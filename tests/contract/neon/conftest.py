"""Fixtures of the Postgres contracts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.adapters.neon.pool import Pool
from shared.adapters.neon.url import DatabaseUrl, parse
from shared.embedded.postgres import EmbeddedPostgres
from tests.contract import neon_servers
from tests.contract.neon_servers import TlsServer


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with neon_servers.tls_server(tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture(scope="session")
def unix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(Path(tmp_path_factory.mktemp("unix")) / "home") as server:
        yield server


@pytest.fixture(scope="session", params=neon_servers.names())
def database(request: pytest.FixtureRequest) -> Iterator[DatabaseUrl]:
    """A migrated database on each server."""
    if request.param == "DATABASE_URL":
        address = neon_servers.REAL
    elif request.param == "unix":
        address = request.getfixturevalue("unix").url
    else:
        address = request.getfixturevalue("tls").url()
    with neon_servers.fresh_database(address) as url:
        yield url


@pytest.fixture(scope="session")
def tls_database(tls: TlsServer) -> Iterator[DatabaseUrl]:
    """A migrated database behind TLS on loopback: where faults can be put on the way."""
    with neon_servers.fresh_database(tls.url()) as url:
        yield url


@pytest.fixture
def pool(database: DatabaseUrl) -> Iterator[Pool]:
    made = Pool(database)
    neon_servers.empty(made)
    yield made
    made.close()


@pytest.fixture
def superuser(tls: TlsServer) -> Iterator[Pool]:
    """The TLS server's owner, through its unix socket."""
    made = Pool(parse(tls.server.url))
    yield made
    made.close()
