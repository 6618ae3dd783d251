"""One collection: a shard of the engine in a folder, and its configuration beside it."""

from __future__ import annotations

import logging
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

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
_CONFIG = "collection.json"
_SHARD = "shard"
_CLOSED = "Shard is not initialized"
_RESERVE_BYTES = 64 * 2**20
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
        self._closed = False
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
        except _ShardGoneError as gone:
            with self._lock:  # whoever loads the shard again holds this
                current = self._replace(shard)
                if gone.panicked:
                    raise refuse(f"Service internal error: {gone}", 500) from None
                return self._run(work, current)

    def write(self, operation: edge.UpdateOperation) -> None:
        """Apply ``operation``; it is in the write-ahead log when this returns.

        After a panic it is tried once more on the reloaded shard: a vector that panicked leaves its
        slot in a state in which the next write, a good one, panics too.
        """
        require_space(self._folder)
        with self._lock:
            if not self._applied(operation) and not self._applied(operation):
                raise refuse("Service internal error: the engine panicked", 500)

    def _applied(self, operation: edge.UpdateOperation) -> bool:
        """Whether the engine took it; the shard was loaded again when not. The lock is held."""
        shard = self._shard
        try:
            self._run(lambda current: current.update(operation), shard)
        except _ShardGoneError as gone:
            _LOG.warning("a write failed, the shard is loaded again: %s", gone)
            self._replace(shard)
            return False
        return True

    def close(self) -> None:
        """Flush and release the files."""
        with self._lock:
            self._closed = True
            self._shard.close()

    def _load(self) -> edge.EdgeShard:
        try:
            return edge.EdgeShard.load(str(self._folder / _SHARD), _engine_config(self.config))
        except BaseException as error:  # the engine raises nothing narrower, and panics outside Exception
            if not isinstance(error, Exception) and not _is_panic(error):
                raise
            raise StackError(
                f"Collection {self._folder.name} in {self._folder.parent} cannot be opened: {error}.",
                hint="Run `lectern reset` and ingest again, or restore a recovery point.",
            ) from error

    def _replace(self, broken: edge.EdgeShard) -> edge.EdgeShard:
        """The current shard, loaded anew if it still is the broken one. The lock is held."""
        if self._closed:  # dropped while this request was under way
            raise refuse(f"Not found: Collection `{self._folder.name}` doesn't exist!", 404)
        if self._shard is broken:
            _step_over(broken)
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
                raise _ShardGoneError(str(error), panicked=False) from error
            raise refuse(f"Wrong input: {error}") from error
        except BaseException as panic:
            if not _is_panic(panic):
                raise
            raise _ShardGoneError(f"the engine panicked: {panic}", panicked=True) from panic


def _is_panic(error: BaseException) -> bool:
    """Whether the engine panicked: not an Exception, and importable from nowhere."""
    return type(error).__name__ == "PanicException"


def _step_over(shard: edge.EdgeShard) -> None:
    """Move the write-ahead log past the operation that panicked, or it would panic again when loaded.

    The log is replayed from the last operation that was applied; one that changes nothing is enough.
    """
    try:
        shard.update(edge.UpdateOperation.delete_points([]))
        shard.flush()
    except BaseException as error:
        if not isinstance(error, Exception) and not _is_panic(error):
            raise
        _LOG.warning("the engine could not step over the operation that panicked: %s", error)


class _ShardGoneError(Exception):
    """The shard was closed under this call, or has just panicked."""

    def __init__(self, message: str, *, panicked: bool) -> None:
        super().__init__(message)
        self.panicked = panicked


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


def require_space(folder: Path) -> None:
    """Refuse before the disk is full: the engine writes through mapped files, and a page that cannot be
    backed ends the whole process.
    """
    if shutil.disk_usage(folder).free < _RESERVE_BYTES:
        raise refuse(f"Service internal error: No space left on device: {folder}", 500)
