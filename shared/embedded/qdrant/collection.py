"""One collection: a shard of the engine in a folder, and its configuration beside it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import qdrant_edge as edge

from shared.embedded.qdrant.files import sync_folder, write_whole
from shared.embedded.qdrant.vectors import Layout
from shared.embedded.qdrant.wire import CreateCollection, VectorParams, convert, refuse
from shared.errors import RequestError, StackError

T = TypeVar("T")
_CONFIG = "collection.json"
_SHARD = "shard"
_CLOSED = "Shard is not initialized"
_LARGEST = 65536  # dimensions that Qdrant takes


class Collection:
    """Reads run side by side; writes one at a time.

    After a panic of the engine the shard is closed and loaded again from its write-ahead log,
    because nothing that it answers afterwards can be trusted.
    """

    def __init__(self, folder: Path) -> None:
        """Load the collection in ``folder``; :class:`StackError` when it cannot be read."""
        self._folder = folder
        self.config = _read_config(folder)
        self.layout = layout(self.config)
        self._lock = threading.Lock()
        self._shard = self._load()

    @staticmethod
    def create(folder: Path, config: CreateCollection) -> None:
        """Make the collection beside ``folder`` and move it there, so that it is never half made."""
        engine_config = _engine_config(config)
        building = folder.with_name(f".new-{folder.name}")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        try:
            edge.EdgeShard.create(str(building / _SHARD), engine_config).close()
            write_whole(building / _CONFIG, msgspec.json.encode(config))
            building.rename(folder)
        except OSError:
            shutil.rmtree(building, ignore_errors=True)
            raise
        sync_folder(folder.parent)

    def read(self, work: Callable[[edge.EdgeShard], T]) -> T:
        """The result of ``work`` on the shard; RequestError as Qdrant would answer."""
        shard = self._shard
        try:
            return self._run(work, shard)
        except _ShardGoneError:
            with self._lock:  # whoever loads the shard again holds this
                return self._run(work, self._replace(shard))

    def write(self, operation: edge.UpdateOperation) -> None:
        """Apply ``operation``; it is in the write-ahead log when this returns."""
        with self._lock:
            shard = self._shard
            try:
                self._run(lambda current: current.update(operation), shard)
            except _ShardGoneError as gone:
                self._replace(shard)
                raise refuse(f"Service internal error: {gone}", 500) from None

    def close(self) -> None:
        """Flush and release the files."""
        with self._lock:
            self._shard.close()

    def _load(self) -> edge.EdgeShard:
        try:
            return edge.EdgeShard.load(str(self._folder / _SHARD), _engine_config(self.config))
        except Exception as error:  # the engine raises nothing narrower
            raise StackError(
                f"Collection {self._folder.name} in {self._folder.parent} cannot be opened: {error}.",
                hint="Run `lectern reset` and ingest again, or restore a recovery point.",
            ) from error

    def _replace(self, broken: edge.EdgeShard) -> edge.EdgeShard:
        """The current shard, loaded anew if it still is the broken one. The lock is held."""
        if self._shard is broken:
            broken.close()
            self._shard = self._load()
        return self._shard

    @staticmethod
    def _run(work: Callable[[edge.EdgeShard], T], shard: edge.EdgeShard) -> T:
        """``work``'s result, the engine's bare exceptions told apart."""
        try:
            return work(shard)
        except RequestError:
            raise
        except Exception as error:  # the engine raises nothing narrower
            if _CLOSED in str(error):
                raise _ShardGoneError(str(error)) from error
            raise refuse(f"Wrong input: {error}") from error
        except BaseException as panic:
            if type(panic).__name__ != "PanicException":  # not an Exception, and importable from nowhere
                raise
            raise _ShardGoneError(f"the engine panicked: {panic}") from panic


class _ShardGoneError(Exception):
    """The shard was closed under this call, or has just panicked."""


def layout(config: CreateCollection) -> Layout:
    """Vector name to size (dense) or None (sparse)."""
    sizes: dict[str, int | None] = {name: params.size for name, params in dense_params(config).items()}
    return sizes | dict.fromkeys(config.sparse_vectors or {})


def dense_params(config: CreateCollection) -> dict[str, VectorParams]:
    """Dense vectors by name; parameters given bare are those of the vector without a name."""
    vectors = config.vectors or {}
    if "size" in vectors and not isinstance(vectors["size"], dict):
        vectors = {"": vectors}
    return {name: _dense_params(params) for name, params in vectors.items()}


def _dense_params(value: object) -> VectorParams:
    params = convert(value, VectorParams)
    if not 1 <= params.size <= _LARGEST:
        problem = f"value {params.size} invalid, must be from 1 to {_LARGEST}"
        raise refuse(f"Validation error in JSON body: vectors.size: {problem}", 422)
    return params


def _engine_config(config: CreateCollection) -> edge.EdgeConfig:
    vectors = {
        name: edge.EdgeVectorParams(size=params.size, distance=getattr(edge.Distance, params.distance))
        for name, params in dense_params(config).items()
    }
    sparse = {
        name: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf if params.modifier == "idf" else None)
        for name, params in (config.sparse_vectors or {}).items()
    }
    if not vectors and not sparse:
        raise refuse("Wrong input: a collection on this server needs at least one vector")
    return edge.EdgeConfig(vectors=vectors, sparse_vectors=sparse, max_search_threads=1)


def _read_config(folder: Path) -> CreateCollection:
    try:
        return msgspec.json.decode((folder / _CONFIG).read_bytes(), type=CreateCollection)
    except (OSError, msgspec.DecodeError) as error:
        raise StackError(
            f"Collection {folder.name} in {folder.parent} has no readable configuration: {error}.",
            hint="Run `lectern reset` and ingest again, or restore a recovery point.",
        ) from error
