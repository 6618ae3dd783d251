"""Fixtures of the recovery tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from shared.adapters.qdrant.admin import QdrantAdmin
from shared.adapters.qdrant.bulk import QdrantBulk
from shared.embedded.folder import FolderStore
from shared.resilience.deadline import Deadline
from tests.contract.qdrant_places import PLACES, Place, place
from tests.recovery.vector_world import World, write_key


@pytest.fixture(scope="module", params=PLACES)
def where(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(request.param, tmp_path_factory.mktemp("qdrant")) as found:
        yield found


@pytest.fixture
def world(where: Place, tmp_path: Path) -> Iterator[World]:
    alias = f"w{uuid4().hex[:8]}-live"
    with QdrantBulk(where.url, where.api_key) as bulk, QdrantAdmin(where.url, where.api_key) as admin:
        yield World(where, bulk, admin, FolderStore(tmp_path / "bucket"), write_key(tmp_path / "key"), alias)
        for name in admin.collections(Deadline.after(20)):
            if name.startswith(alias.removesuffix("-live")):
                admin.drop(name, Deadline.after(20))
