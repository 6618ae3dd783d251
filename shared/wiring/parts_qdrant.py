"""Ports joined to Qdrant; see :mod:`shared.wiring.parts`."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from shared.ports import (
    StoredVectors,
    VectorAdmin,
    VectorBulk,
    VectorSearch,
)
from shared.ports.snapshots import VectorSnapshots
from shared.wiring.opened import Opened

if TYPE_CHECKING:
    from shared.adapters.qdrant.admin import QdrantAdmin


class QdrantParts(Opened):
    """What lies in Qdrant."""

    @cached_property
    def vector_search(self) -> VectorSearch:
        """Over plain REST: for questions."""
        from shared.adapters.qdrant.search import QdrantSearch

        own = self.settings
        search = QdrantSearch(
            own.qdrant_url, own.qdrant_api_key, read_consistency=own.qdrant_read_consistency or None
        )
        return self._open(search, search.close)

    @property
    def vector_admin(self) -> VectorAdmin:
        """Through qdrant-client: for ingestion and operations."""
        return self._qdrant_admin

    @property
    def stored_vectors(self) -> StoredVectors:
        """Vectors that collections hold, through the same client."""
        return self._qdrant_admin

    @cached_property
    def _qdrant_admin(self) -> QdrantAdmin:
        from shared.adapters.qdrant.admin import QdrantAdmin

        own = self.settings
        admin = QdrantAdmin(
            own.qdrant_url, own.qdrant_api_key, replication_factor=own.qdrant_replication_factor
        )
        return self._open(admin, admin.close)

    @cached_property
    def vector_bulk(self) -> VectorBulk:
        """Over plain REST: whole collections, for recovery."""
        from shared.adapters.qdrant.bulk import QdrantBulk

        own = self.settings
        bulk = QdrantBulk(
            own.qdrant_url,
            own.qdrant_api_key,
            replication_factor=own.qdrant_replication_factor,
            read_consistency=own.qdrant_read_consistency or None,
        )
        return self._open(bulk, bulk.close)

    @cached_property
    def snapshot_nodes(self) -> tuple[VectorSnapshots, ...]:
        """The nodes that make snapshots of their own for recovery points; none unless the settings say so."""
        from shared.adapters.qdrant.snapshots import QdrantSnapshots

        own = self.settings
        nodes = [QdrantSnapshots(url, own.qdrant_api_key) for url in own.backup_snapshot_nodes]
        return tuple(self._open(node, node.close) for node in nodes)
