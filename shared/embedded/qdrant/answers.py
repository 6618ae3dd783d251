"""What the engine found, in the forms of Qdrant's answers."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from shared.embedded.qdrant.collection import Collection
from shared.embedded.qdrant.vectors import shown

APPLIED = {"operation_id": 0, "status": "completed"}

# Figures that clients require in a description; the loopback server has no cluster and builds no HNSW graph.
_HNSW = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0}
_OPTIMIZER = {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0,
              "indexing_threshold": 10000, "flush_interval_sec": 5}  # fmt: skip
_WAL = {"wal_capacity_mb": 32, "wal_segments_ahead": 0}


def hit(point: edge.ScoredPoint) -> dict[str, Any]:
    """Qdrant's ScoredPoint, with payload and vector only where they were asked for."""
    answer: dict[str, Any] = {"id": point.id, "version": point.version, "score": point.score}
    if point.payload is not None:
        answer["payload"] = point.payload
    if point.vector is not None:
        answer["vector"] = shown(point.vector)
    return answer


def record(point: edge.Record) -> dict[str, Any]:
    """Qdrant's Record."""
    answer: dict[str, Any] = {"id": point.id}
    if point.payload is not None:
        answer["payload"] = point.payload
    if point.vector is not None:
        answer["vector"] = shown(point.vector)
    return answer


def description(collection: Collection) -> dict[str, Any]:
    """Qdrant's CollectionInfo: the counts, and the configuration that it was made with."""
    info = collection.read(lambda shard: shard.info())
    return {
        "status": "green",
        "optimizer_status": "ok",
        "indexed_vectors_count": info.indexed_vectors_count,
        "points_count": info.points_count,
        "segments_count": info.segments_count,
        "config": _config(collection),
        "payload_schema": {key: _index(index) for key, index in info.payload_schema.items()},
    }


def _config(collection: Collection) -> dict[str, Any]:
    config = collection.config
    params: dict[str, Any] = {
        "vectors": config.vectors or {},
        "shard_number": 1,
        "replication_factor": config.replication_factor or 1,
        "write_consistency_factor": config.write_consistency_factor or 1,
        "on_disk_payload": True,
    }
    if config.sparse_vectors:
        params["sparse_vectors"] = config.sparse_vectors
    answer: dict[str, Any] = {
        "params": params,
        "hnsw_config": _HNSW | (config.hnsw_config or {}),
        "optimizer_config": _OPTIMIZER | (config.optimizers_config or {}),
        "wal_config": _WAL | (config.wal_config or {}),
    }
    return answer | ({"metadata": config.metadata} if config.metadata else {})


def _index(index: edge.PayloadIndexInfo) -> dict[str, Any]:
    kind = str(index.data_type).rsplit(".", 1)[-1].lower()
    return {"data_type": kind, "points": index.points}
