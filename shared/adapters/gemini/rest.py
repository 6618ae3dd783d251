"""Gemini over plain REST. The default: importing one of Google's packages would cost chat's cold start.

Protocol: https://ai.google.dev/api, version v1beta; answers are streamed as server-sent events.
The key travels in a header, never in an address, a message or a log line.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Self

import httpx

from shared.adapters.gemini.errors import SERVICE, answer_error, garbled, interrupted, timed_out
from shared.adapters.gemini.messages import (
    DOCUMENT,
    EMBED,
    GENERATE,
    LARGEST_BATCH,
    QUERY,
    AnswerReader,
    embedding_requests,
    estimated_tokens,
    generation_body,
    model_path,
    unit_vectors,
)
from shared.adapters.gemini.prices import Prices
from shared.adapters.gemini.sse import event_data
from shared.adapters.gemini.transport import Call, make_client
from shared.errors import AccessDenied, Cancelled, DependencyError, Interrupted, Unreachable
from shared.ports import Embeddings, Piece, Prompt
from shared.resilience.deadline import Deadline

DEFAULT_BASE_URL = "https://generativelanguage.googleapis.com"
_LARGEST_ANSWER = 32 << 20
_LARGEST_ERROR = 64 << 10
_DRAIN_SECONDS = 0.25


class PieceStream:
    """The pieces of one answer, as an iterator that may be closed at any time from any thread.

    A thread that is waiting for the next piece when another one closes it gets ``Cancelled``.
    """

    def __init__(self, call: Call, pieces: Iterator[Piece]) -> None:
        self._call = call
        self._pieces = pieces

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Piece:
        return next(self._pieces)

    def close(self) -> None:
        """End the call to the service at once."""
        self._call.cancel()
        # ValueError: another thread is inside. It finds its socket shut and cleans up itself.
        with contextlib.suppress(ValueError):
            self._pieces.close()  # type: ignore[attr-defined]


class GeminiGenerator:
    """A :class:`~shared.ports.Generator`. The call begins when the first piece is asked for."""

    def __init__(
        self, api_key: str, model: str, *, base_url: str = DEFAULT_BASE_URL, prices: Prices | None = None
    ) -> None:
        self._model = model.removeprefix("models/")
        self._channel = _Channel(api_key, base_url)
        self._prices = prices or Prices()

    @property
    def model(self) -> str:
        return self._model

    def close(self) -> None:
        """Close idle connections."""
        self._channel.close()

    def stream(self, prompt: Prompt, deadline: Deadline) -> PieceStream:
        call = Call(deadline)
        return PieceStream(call, self._pieces(call, prompt))

    def _pieces(self, call: Call, prompt: Prompt) -> Iterator[Piece]:
        path = f"/v1beta/{model_path(self._model)}:streamGenerateContent?alt=sse"
        reader = AnswerReader(self._prices, self._channel.key)
        with self._channel.opened(call, GENERATE, path, generation_body(prompt)) as exchange:
            exchange.require("text/event-stream")
            for data in event_data(GENERATE, exchange.chunks()):
                if text := reader.read(_parsed(GENERATE, data)):
                    yield Piece(text, reader.usage())
                if reader.finish_reason:
                    exchange.drain()
                    break
            else:
                raise interrupted(GENERATE, "the stream ended without a finish reason")
        yield reader.last_piece()


class GeminiEmbedder:
    """An :class:`~shared.ports.Embedder`. Batches of at most 100 texts; vectors scaled to length 1.

    ``tokens`` is what the service counted or, for models that do not count, a fourth of the characters.
    """

    def __init__(
        self, api_key: str, model: str, *, dimensions: int = 768, base_url: str = DEFAULT_BASE_URL
    ) -> None:
        self._model = model.removeprefix("models/")
        self._dimensions = dimensions
        self._channel = _Channel(api_key, base_url)

    @property
    def model(self) -> str:
        return f"{self._model}/{self._dimensions}"

    @property
    def dimensions(self) -> int:
        return self._dimensions

    def close(self) -> None:
        """Close idle connections."""
        self._channel.close()

    def embed_query(self, text: str, deadline: Deadline) -> tuple[float, ...]:
        return self._batch([text], QUERY, deadline)[0][0]

    def embed_documents(self, texts: Sequence[str], deadline: Deadline) -> Embeddings:
        vectors: list[tuple[float, ...]] = []
        tokens = 0
        for start in range(0, len(texts), LARGEST_BATCH):
            found, counted = self._batch(texts[start : start + LARGEST_BATCH], DOCUMENT, deadline)
            vectors += found
            tokens += counted
        return Embeddings(tuple(vectors), tokens)

    def _batch(
        self, texts: Sequence[str], task: str, deadline: Deadline
    ) -> tuple[list[tuple[float, ...]], int]:
        path = f"/v1beta/{model_path(self._model)}:batchEmbedContents"
        body = {"requests": embedding_requests(self._model, self._dimensions, task, texts)}
        with self._channel.opened(Call(deadline), EMBED, path, body) as exchange:
            answer = _parsed(EMBED, exchange.body(_LARGEST_ANSWER))
        try:
            raw = [one["values"] for one in answer["embeddings"]]
            tokens = int(answer.get("usageMetadata", {}).get("promptTokenCount", 0))
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise garbled(EMBED, "an answer without vectors") from error
        return unit_vectors(raw, len(texts), self._dimensions), tokens or estimated_tokens(texts)


class _Channel:
    """The way to one address with one key. The client is made at first use, after any fork."""

    def __init__(self, key: str, base_url: str) -> None:
        self.key = key.strip()
        self._base_url = base_url.rstrip("/")
        self._lock = threading.Lock()
        self._made: httpx.Client | None = None

    def close(self) -> None:
        with self._lock:
            if self._made is not None:
                self._made.close()
                self._made = None

    @contextlib.contextmanager
    def opened(self, call: Call, operation: str, path: str, body: Any) -> Iterator[_Exchange]:
        """POST ``body``; an answer with status 200, its body unread. Raises what the status means."""
        if not (self.key.isascii() and self.key.isprintable() and self.key):
            # It would not go into a header, and the client's own message would show it.
            raise AccessDenied(SERVICE, operation, "the key is not one", hint="Check GEMINI_API_KEY.")
        exchange = _Exchange(call, operation, self._send(call, operation, path, body))
        try:
            if exchange.response.status_code != httpx.codes.OK:
                found = exchange.body(_LARGEST_ERROR)
                response = exchange.response
                raise answer_error(operation, response.status_code, found, response.headers, self.key)
            yield exchange
        finally:
            call.finish()
            exchange.response.close()

    def _send(self, call: Call, operation: str, path: str, body: Any) -> httpx.Response:
        if call.deadline.expired():
            raise timed_out(operation, "no time was left to ask")
        headers = {"x-goog-api-key": self.key}
        client = self._client()
        with call.active():
            try:
                timeout = max(call.deadline.remaining(), 0.001)
                request = client.build_request("POST", path, json=body, headers=headers, timeout=timeout)
                return client.send(request, stream=True)
            except httpx.HTTPError as error:
                raise _failure(call, operation, error, begun=False) from error

    def _client(self) -> httpx.Client:
        with self._lock:
            if self._made is None:
                self._made = make_client(self._base_url)
            return self._made


class _Exchange:
    """An answer that is being read, within its call."""

    def __init__(self, call: Call, operation: str, response: httpx.Response) -> None:
        self.response = response
        self._call = call
        self._operation = operation
        self._source = response.iter_bytes()

    def require(self, content_type: str) -> None:
        """Raise ``Garbled`` for an answer of another type: a proxy's page, or another service's."""
        found = self.response.headers.get("content-type", "nothing")
        if not found.startswith(content_type):
            raise garbled(self._operation, f"{found[:60]} where {content_type} is documented")

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives."""
        while True:
            with self._call.active():
                try:
                    chunk = next(self._source, None)
                except httpx.HTTPError as error:
                    raise _failure(self._call, self._operation, error, begun=True) from error
            if chunk is None:
                return
            yield chunk

    def body(self, most: int) -> bytes:
        """The whole body. Raises ``Garbled`` above ``most`` bytes, ``Unreachable`` when it is cut."""
        found = bytearray()
        try:
            for chunk in self.chunks():
                found += chunk
                if len(found) > most:
                    raise garbled(self._operation, f"an answer of more than {most} bytes")
        except Interrupted as error:
            raise _unreachable(self._operation, "the answer was cut") from error
        return bytes(found)

    def drain(self) -> None:
        """Read the end of a complete answer, so that the connection can be used again; never for long."""
        self._call.deadline = self._call.deadline.within(_DRAIN_SECONDS)
        with contextlib.suppress(DependencyError):
            for _ in self.chunks():
                pass


def _parsed(operation: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise garbled(operation, f"{len(data)} bytes that are not JSON") from error


def _failure(call: Call, operation: str, error: httpx.HTTPError, *, begun: bool) -> DependencyError:
    """What a failed exchange means. Its own words are left out: they may quote what was sent."""
    if call.cancelled:
        return Cancelled(SERVICE, operation, "the caller stopped it")
    if isinstance(error, httpx.TimeoutException) or call.deadline.expired():
        return timed_out(operation, "the answer stopped half way" if begun else "no answer in the time given")
    if isinstance(error, httpx.DecodingError):
        return garbled(operation, "an answer that cannot be decompressed")
    if begun:
        return interrupted(operation, "the connection was cut")
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error):
        return garbled(operation, "an answer that is not HTTP")
    return _unreachable(operation, "no connection" if isinstance(error, httpx.ConnectError) else "cut off")


def _unreachable(operation: str, detail: str) -> Unreachable:
    return Unreachable(SERVICE, operation, detail, hint="Check gemini_base_url and the network.")
