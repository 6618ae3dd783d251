"""Gemini through google-generativeai (``GEMINI_CLIENT=generativeai``), the second client.

The package is past its end of support and takes most of a second to import, so it is imported when
the first call is made, and only if it was chosen. It is used for its messages, its REST transport
and its parser; what it hides is made visible where HTTP happens: a deadline that holds between
chunks, and error answers of streams, which it cannot read. One thing stays hidden: an error object
in the middle of a stream comes out as an empty message, so it is ``Interrupted`` here.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from typing import Any

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
from shared.adapters.gemini.rest import DEFAULT_BASE_URL, PieceStream
from shared.adapters.gemini.transport import Call, current_call
from shared.errors import AccessDenied, Cancelled, DependencyError, Unreachable
from shared.ports import Embeddings, Piece, Prompt
from shared.resilience.deadline import Deadline

_BLOCK = 64 << 10


class GenerativeAIGenerator:
    """A :class:`~shared.ports.Generator`. The call begins when the first piece is asked for."""

    def __init__(
        self, api_key: str, model: str, *, base_url: str = DEFAULT_BASE_URL, prices: Prices | None = None
    ) -> None:
        self._model = model.removeprefix("models/")
        self._service = _Service(api_key, base_url)
        self._prices = prices or Prices()

    @property
    def model(self) -> str:
        return self._model

    def close(self) -> None:
        """Close idle connections."""
        self._service.close()

    def stream(self, prompt: Prompt, deadline: Deadline) -> PieceStream:
        call = Call(deadline)
        return PieceStream(call, self._pieces(call, prompt))

    def _pieces(self, call: Call, prompt: Prompt) -> Iterator[Piece]:
        reader = AnswerReader(self._prices, self._service.key)
        body = {"model": model_path(self._model), **generation_body(prompt)}
        with _watched(call):
            messages = self._service.ask(call, GENERATE, "stream_generate_content", body)
            with contextlib.closing(self._service.chunks(call, messages)) as chunks:
                for chunk in chunks:
                    if text := reader.read(chunk):
                        yield Piece(text, reader.usage())
            if not reader.finish_reason:
                raise interrupted(GENERATE, "the stream ended without a finish reason")
        yield reader.last_piece()


class GenerativeAIEmbedder:
    """An :class:`~shared.ports.Embedder`. ``tokens`` is a fourth of the characters: nobody counts."""

    def __init__(
        self, api_key: str, model: str, *, dimensions: int = 768, base_url: str = DEFAULT_BASE_URL
    ) -> None:
        self._model = model.removeprefix("models/")
        self._dimensions = dimensions
        self._service = _Service(api_key, base_url)

    @property
    def model(self) -> str:
        return f"{self._model}/{self._dimensions}"

    @property
    def dimensions(self) -> int:
        return self._dimensions

    def close(self) -> None:
        """Close idle connections."""
        self._service.close()

    def embed_query(self, text: str, deadline: Deadline) -> tuple[float, ...]:
        return self._batch([text], QUERY, deadline)[0]

    def embed_documents(self, texts: Sequence[str], deadline: Deadline) -> Embeddings:
        vectors: list[tuple[float, ...]] = []
        for start in range(0, len(texts), LARGEST_BATCH):
            vectors += self._batch(texts[start : start + LARGEST_BATCH], DOCUMENT, deadline)
        return Embeddings(tuple(vectors), estimated_tokens(texts))

    def _batch(self, texts: Sequence[str], task: str, deadline: Deadline) -> list[tuple[float, ...]]:
        requests = embedding_requests(self._model, self._dimensions, task, texts)
        body = {"model": model_path(self._model), "requests": requests}
        call = Call(deadline)
        with _watched(call):
            answer = self._service.ask(call, EMBED, "batch_embed_contents", body)
        return unit_vectors([one.values for one in answer.embeddings], len(texts), self._dimensions)


class _Service:
    """The package's service client, made at first use."""

    def __init__(self, key: str, base_url: str) -> None:
        self.key = key.strip()
        self._base_url = base_url.rstrip("/")
        self._lock = threading.Lock()
        self._made: Any = None

    def ask(self, call: Call, operation: str, method: str, body: dict[str, Any]) -> Any:
        """Call ``method`` with ``body``, a v1beta JSON document; the package's answer."""
        if not (self.key.isascii() and self.key.isprintable() and self.key):
            raise AccessDenied(SERVICE, operation, "the key is not one", hint="Check GEMINI_API_KEY.")
        client = self._client()
        if call.deadline.expired():
            raise timed_out(operation, "no time was left to ask")
        with call.active(), _translated(call, operation, begun=False):
            # Its own default retries ignore the time-out.
            timeout = call.deadline.remaining()
            return getattr(client, method)(_request(method, body), timeout=timeout, retry=None)

    def chunks(self, call: Call, messages: Any) -> Generator[dict[str, Any], None, None]:
        """The messages of a stream as v1beta JSON documents; closing it ends the stream."""
        try:
            while (message := self._next(call, messages)) is not None:
                yield _document(message)
        finally:
            messages.cancel()

    def _next(self, call: Call, messages: Any) -> Any:
        with call.active(), _translated(call, GENERATE, begun=True):
            return next(messages, None)

    def close(self) -> None:
        with self._lock:
            if self._made is not None:
                self._made.transport.close()
                self._made = None

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = _make_client(self.key, self._base_url)
            return self._made


def _make_client(key: str, base_url: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces its retirement at each import
        import google.generativeai  # noqa: F401
        from google.ai.generativelanguage import GenerativeServiceClient
    client: Any = GenerativeServiceClient(
        transport="rest", client_options={"api_key": key, "api_endpoint": base_url}
    )
    session = client.transport._session  # noqa: SLF001 - the package offers no way to its connections
    session.trust_env = False
    adapter = _adapter_class()(key)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return client


def _request(method: str, body: dict[str, Any]) -> Any:
    from google.generativeai import protos
    from google.protobuf import json_format

    kinds = {
        "stream_generate_content": protos.GenerateContentRequest,
        "batch_embed_contents": protos.BatchEmbedContentsRequest,
    }
    kind: Any = kinds[method]
    request = kind()
    json_format.ParseDict(body, kind.pb(request))
    return request


def _document(message: Any) -> dict[str, Any]:
    document: dict[str, Any] = type(message).to_dict(
        message,
        use_integers_for_enums=False,
        preserving_proto_field_name=False,
        always_print_fields_with_no_presence=False,
    )
    if not document:
        raise interrupted(GENERATE, "the service reported an error in the middle of the answer")
    return document


def _adapter_class() -> Any:
    """The HTTP adapter under the package: our errors, calls that can be cut. Made late, as requests is."""
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def __init__(self, key: str) -> None:
            super().__init__()
            self._key = key

        def send(self, request: Any, *args: Any, **options: Any) -> Any:
            response = super().send(request, *args, **options)
            if (call := current_call()) is not None:
                call.allowance(getattr(response.raw.connection, "sock", None), None)
            response.raw = _Blocks(response.raw)
            if response.status_code != 200:  # noqa: PLR2004 - HTTP
                operation = EMBED if "batchEmbedContents" in str(request.url) else GENERATE
                headers = {name.lower(): value for name, value in response.headers.items()}
                raise answer_error(operation, response.status_code, response.content, headers, self._key)
            return response

    return Adapter


class _Blocks:
    """A urllib3 body that is read as it arrives; the package asks for one byte at a time."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def stream(self, amount: int, *, decode_content: bool | None = None) -> Iterator[bytes]:
        return self._body.stream(max(amount, _BLOCK), decode_content=decode_content)  # type: ignore[no-any-return]


@contextlib.contextmanager
def _watched(call: Call) -> Iterator[None]:
    """Cut the connection when the call's time is used up: requests has time-outs for each read alone."""
    timer = threading.Timer(call.deadline.remaining(), call.sever)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        call.finish()


@contextlib.contextmanager
def _translated(call: Call, operation: str, *, begun: bool) -> Iterator[None]:
    """The package's errors, and those of what it is built on, as ours."""
    import requests
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.protobuf.json_format import ParseError

    try:
        yield
    except DependencyError:
        raise
    except (
        requests.RequestException,
        GoogleAPIError,
        GoogleAuthError,
        ParseError,
        OSError,
        ValueError,
        TypeError,
        AttributeError,  # what its parser raises on JSON of another form
    ) as error:
        raise _failure(call, operation, error, begun=begun) from error


def _failure(call: Call, operation: str, error: Exception, *, begun: bool) -> DependencyError:
    import requests

    if call.cancelled:
        return Cancelled(SERVICE, operation, "the caller stopped it")
    if isinstance(error, (requests.Timeout, TimeoutError)) or call.deadline.expired():
        return timed_out(operation, "the answer stopped half way" if begun else "no answer in the time given")
    broken = isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError))
    if begun and (broken or "Unfinished stream" in str(error)):
        return interrupted(operation, "the connection was cut")
    if broken:
        hint = "Check gemini_base_url and the network."
        return Unreachable(SERVICE, operation, "no connection, or it was cut", hint=hint)
    return garbled(operation, f"an answer of another form ({type(error).__name__})")
