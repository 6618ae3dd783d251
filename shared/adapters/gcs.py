"""Cloud Storage through google-cloud-storage: for backups, ingestion and everything that may start slowly."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import requests
import urllib3
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from requests.adapters import HTTPAdapter

from shared.adapters.gcs_protocol import (
    FIELDS,
    SERVICE,
    Answer,
    ResumableWriter,
    Send,
    error_of,
    time_out,
)
from shared.errors import (
    AccessDenied,
    Corrupt,
    DependencyError,
    Garbled,
    Interrupted,
    Missing,
    TimedOut,
    Unreachable,
)
from shared.objects import CheckedReader, check_name, crc32c
from shared.ports import ObjectInfo, ObjectReader, ObjectWriter
from shared.resilience.deadline import Deadline

_CONTENT_TYPE = "application/octet-stream"
_CONNECT_SECONDS = 10.0
_CONNECTIONS = 32
_PAGE = 1000


class GcsStore:
    """Implements :class:`~shared.ports.ObjectStore` for one bucket.

    ``endpoint`` is for another address than Google's, anonymous unless ``credentials`` are given.
    ``chunk_bytes`` (a multiple of 256 KiB) is what a streamed upload or download moves at a time.
    The SDK's retries are off: nothing is tried again, but for the chunks of a streamed upload
    (see :class:`~shared.adapters.gcs_protocol.ResumableWriter`).
    """

    def __init__(
        self,
        bucket: str,
        *,
        project: str | None = None,
        endpoint: str | None = None,
        credentials: Any = None,
        chunk_bytes: int = 8 << 20,
    ) -> None:
        self._chunk_bytes = chunk_bytes
        with _sdk_errors("open", bucket):
            chosen = _credentials(endpoint, credentials)
            # Tokens are renewed when they end. Renewing on a 401 would be a hidden second try.
            self._session = AuthorizedSession(chosen, refresh_status_codes=())
            for scheme in ("https://", "http://"):
                self._session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS, max_retries=0))
            options = {"api_endpoint": endpoint} if endpoint else None
            self._client = storage.Client(
                project=project, credentials=chosen, _http=self._session, client_options=options
            )
            self._bucket = self._client.bucket(bucket)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    # ---- writing

    def put(
        self,
        name: str,
        data: bytes,
        deadline: Deadline,
        *,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        check_name(SERVICE, "write", name)
        if len(data) > self._chunk_bytes:
            with self._writing(name, deadline, if_generation_match, metadata) as writer:
                writer.write(data)
            return writer.info
        blob = self._blob(name, metadata)
        with _sdk_errors("write", name):
            blob.upload_from_string(
                data,
                content_type=_CONTENT_TYPE,
                if_generation_match=if_generation_match,
                checksum="crc32c",
                timeout=_timeout("write", name, deadline),
                retry=None,
            )
            info = _info(blob)
        if info.crc32c != crc32c(data):
            raise Corrupt(
                SERVICE, "write", f"{name} was stored with CRC32C {info.crc32c}", hint="Send it again."
            )
        return info

    def open_write(
        self,
        name: str,
        deadline: Deadline,
        *,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[ObjectWriter]:
        check_name(SERVICE, "write", name)
        return self._writing(name, deadline, if_generation_match, metadata)

    @contextmanager
    def _writing(
        self, name: str, deadline: Deadline, match: int | None, metadata: Mapping[str, str] | None
    ) -> Iterator[ObjectWriter]:
        with _sdk_errors("write", name):
            url = self._blob(name, metadata).create_resumable_upload_session(
                content_type=_CONTENT_TYPE,
                if_generation_match=match,
                timeout=_timeout("write", name, deadline),
                retry=None,
            )
        writer = ResumableWriter(name, self._sender(name, url), deadline, chunk_bytes=self._chunk_bytes)
        try:
            yield writer
            writer.finish()
        except BaseException:
            writer.abort()
            raise

    def _sender(self, name: str, url: str) -> Send:
        # The SDK's own writer keeps one time-out for all chunks and cannot resume after an error.
        def send(method: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Answer:
            with _sdk_errors("write", name):
                response = self._session.request(
                    method, url, data=body, headers=dict(headers), timeout=(_CONNECT_SECONDS, seconds)
                )
                return _answer(response)

        return send

    def delete(self, name: str, deadline: Deadline, *, if_generation_match: int | None = None) -> None:
        check_name(SERVICE, "delete", name)
        with _sdk_errors("delete", name):
            self._blob(name).delete(
                if_generation_match=if_generation_match,
                timeout=_timeout("delete", name, deadline),
                retry=None,
            )

    # ---- reading

    def get(self, name: str, deadline: Deadline) -> tuple[bytes, ObjectInfo]:
        with self.open_read(name, deadline) as reader:
            return reader.read(), reader.info

    def open_read(
        self, name: str, deadline: Deadline, *, generation: int | None = None
    ) -> AbstractContextManager[ObjectReader]:
        check_name(SERVICE, "read", name)
        return self._reading(name, deadline, generation)

    @contextmanager
    def _reading(self, name: str, deadline: Deadline, generation: int | None) -> Iterator[ObjectReader]:
        info = self._stat("read", name, deadline, generation)
        yield CheckedReader(SERVICE, info, self._ranges(info, deadline))

    def _ranges(self, info: ObjectInfo, deadline: Deadline) -> Callable[[int], bytes]:
        """Pieces of one generation, fetched ``chunk_bytes`` at a time."""
        blob = self._bucket.blob(info.name, generation=info.generation)
        position, rest = 0, memoryview(b"")

        def pull(size: int) -> bytes:
            nonlocal position, rest
            time_out("read", info.name, deadline)
            if not rest and position < info.size:
                last = min(position + self._chunk_bytes, info.size) - 1
                rest = memoryview(_download(blob, position, last, deadline))
                position = position + len(rest) if len(rest) == last + 1 - position else info.size
            piece, rest = rest[:size], rest[size:]
            return bytes(piece)

        return pull

    def stat(self, name: str, deadline: Deadline) -> ObjectInfo:
        check_name(SERVICE, "stat", name)
        return self._stat("stat", name, deadline, None)

    def _stat(self, operation: str, name: str, deadline: Deadline, generation: int | None) -> ObjectInfo:
        blob = self._bucket.blob(name, generation=generation)
        with _sdk_errors(operation, name):
            blob.reload(timeout=_timeout(operation, name, deadline), retry=None)
            return _info(blob)

    def list(self, prefix: str, deadline: Deadline, *, versions: bool = False) -> Iterator[ObjectInfo]:
        token: str | None = None
        while True:
            page, token = self._page(prefix, deadline, versions, token)
            yield from page
            if not token:
                return

    def _page(
        self, prefix: str, deadline: Deadline, versions: bool, token: str | None
    ) -> tuple[builtins.list[ObjectInfo], str | None]:
        with _sdk_errors("list", prefix):
            found = self._client.list_blobs(
                self._bucket,
                prefix=prefix,
                versions=versions,
                page_token=token,
                page_size=_PAGE,
                fields=f"nextPageToken,items({FIELDS})",
                timeout=_timeout("list", prefix, deadline),
                retry=None,
            )
            page = [_info(blob) for blob in next(found.pages, ())]
            return page, found.next_page_token

    def _blob(self, name: str, metadata: Mapping[str, str] | None = None) -> Any:
        blob = self._bucket.blob(name)
        if metadata:
            blob.metadata = dict(metadata)
        return blob


class _Sink:
    """A file that takes what arrives and stops at the deadline: the SDK's time-out is for one read."""

    def __init__(self, name: str, deadline: Deadline) -> None:
        self._name, self._deadline = name, deadline
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        time_out("read", self._name, self._deadline)
        self.data += data
        return len(data)


def _download(blob: Any, first: int, last: int, deadline: Deadline) -> bytearray:
    sink = _Sink(blob.name, deadline)
    try:
        with _sdk_errors("read", blob.name, cut=Interrupted):
            blob.download_to_file(
                sink,
                start=first,
                end=last,
                raw_download=True,
                checksum=None,  # of a part the service knows none: the reader checks the whole
                timeout=_timeout("read", blob.name, deadline),
                retry=None,
            )
    except Missing as error:
        detail = f"{blob.name} was replaced while it was read"
        raise Interrupted(SERVICE, "read", detail, hint="Read it again.") from error
    return sink.data


def _info(blob: Any) -> ObjectInfo:
    return ObjectInfo(
        name=blob.name,
        size=int(blob.size),
        generation=int(blob.generation),
        crc32c=str(blob.crc32c),
        updated=blob.updated.timestamp(),
        metadata=dict(blob.metadata or {}),
    )


def _credentials(endpoint: str | None, given: Any) -> Any:
    import google.auth

    if given is not None:
        return given
    if endpoint:
        return AnonymousCredentials()
    found, _ = google.auth.default(scopes=storage.Client.SCOPE)
    return found


def _timeout(operation: str, what: str, deadline: Deadline) -> tuple[float, float]:
    seconds = time_out(operation, what, deadline)
    return min(_CONNECT_SECONDS, seconds), seconds


def _answer(response: requests.Response) -> Answer:
    body = b""
    with suppress(requests.RequestException, urllib3.exceptions.HTTPError, RuntimeError):
        body = response.content
    headers = {key.lower(): value for key, value in response.headers.items()}
    return Answer(response.status_code, headers, body)


_WIRE = (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError)
_SENSELESS = (ValueError, KeyError, TypeError, AttributeError)  # what the SDK makes of a senseless answer


@contextmanager
def _sdk_errors(operation: str, what: str, cut: type[DependencyError] = Unreachable) -> Iterator[None]:
    try:
        yield
    except DataCorruption as error:
        raise Corrupt(SERVICE, operation, f"{what}: {error}", hint="Send it again.") from error
    except (GoogleAPICallError, InvalidResponse) as error:
        raise _of_answer(operation, what, error) from error
    except TransportError as error:
        raise Unreachable(SERVICE, operation, f"{what}: {error}", hint="Check the network.") from error
    except GoogleAuthError as error:
        raise AccessDenied(SERVICE, operation, f"{what}: {error}", hint="Check the account.") from error
    except (requests.JSONDecodeError, *_SENSELESS) as error:
        detail = f"the answer about {what} is not understood ({type(error).__name__})"
        raise Garbled(SERVICE, operation, detail, hint="Try again.") from error
    except _WIRE as error:
        kind = TimedOut if _is_time_out(error) else cut
        raise kind(SERVICE, operation, f"{what}: {error}", hint="Check the network.") from error


def _of_answer(operation: str, what: str, error: Any) -> DependencyError:
    answer = _answer(error.response)
    if answer.status < 300:  # noqa: PLR2004, the SDK could make nothing of an answer that says all went well
        return Garbled(SERVICE, operation, f"{what}: {error}", hint="Try again.")
    return error_of(operation, what, answer)


def _is_time_out(error: BaseException | None) -> bool:
    """Whether a time-out is at the bottom: requests wraps one met in a body in a ConnectionError."""
    times = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
    refused = urllib3.exceptions.NewConnectionError  # counts itself among the time-outs
    while error is not None:
        for each in (error, error.args[0] if error.args else None):
            if isinstance(each, times) and not isinstance(each, refused):
                return True
        error = error.__cause__ or error.__context__
    return False
