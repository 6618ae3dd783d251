"""Cloud Storage over its JSON API with httpx alone: for functions that must start fast.

Importing google-cloud-storage costs 0.4 CPU seconds of a cold start; this costs none beyond httpx.
Protocol: https://cloud.google.com/storage/docs/json_api/v1.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from shared.adapters.access_token import TokenProvider
from shared.adapters.gcs_protocol import (
    FIELDS,
    SERVICE,
    Answer,
    ResumableWriter,
    Send,
    error_of,
    parse_json,
    parse_resource,
    time_out,
)
from shared.errors import Corrupt, DependencyError, Garbled, Interrupted, TimedOut, Unreachable
from shared.objects import CheckedReader, check_name, crc32c
from shared.ports import ObjectInfo, ObjectReader, ObjectWriter
from shared.resilience.deadline import Deadline

ENDPOINT = "https://storage.googleapis.com"


class GcsHttpStore:
    """Implements :class:`~shared.ports.ObjectStore` for one bucket.

    ``token`` gives the bearer token (None: anonymous). ``chunk_bytes`` is what a streamed upload sends
    at a time, a multiple of 256 KiB. Give it the process's ``client`` where there is one: making one
    costs 45 ms, for the TLS context. Nothing is tried again, but for the chunks of a streamed upload
    (see :class:`~shared.adapters.gcs_protocol.ResumableWriter`).
    """

    def __init__(
        self,
        bucket: str,
        *,
        endpoint: str = ENDPOINT,
        token: TokenProvider | None = None,
        chunk_bytes: int = 8 << 20,
        client: httpx.Client | None = None,
    ) -> None:
        path = f"storage/v1/b/{quote(bucket, safe='')}/o"
        self._objects = f"{endpoint.rstrip('/')}/{path}"
        self._upload = f"{endpoint.rstrip('/')}/upload/{path}"
        self._token = token
        self._chunk_bytes = chunk_bytes
        self._client = client or httpx.Client(trust_env=False)

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
            with self._writing(name, deadline, if_generation_match, metadata or {}) as writer:
                writer.write(data)
            return writer.info
        resource = {"name": name, "crc32c": crc32c(data), "metadata": dict(metadata or {})}
        content_type, body = _multipart(resource, data)
        query = {"uploadType": "multipart", **_condition(if_generation_match)}
        headers = {"Content-Type": content_type}
        answer = self._call(
            "write", name, deadline, method="POST", url=self._upload, query=query, headers=headers, body=body
        )
        info = parse_resource("write", name, parse_json("write", name, answer.body))
        if info.crc32c != resource["crc32c"]:
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
        return self._writing(name, deadline, if_generation_match, metadata or {})

    @contextmanager
    def _writing(
        self, name: str, deadline: Deadline, match: int | None, metadata: Mapping[str, str]
    ) -> Iterator[ObjectWriter]:
        send = self._start_session(name, deadline, match, metadata)
        writer = ResumableWriter(name, send, deadline, chunk_bytes=self._chunk_bytes)
        try:
            yield writer
            writer.finish()
        except BaseException:
            writer.abort()
            raise

    def _start_session(
        self, name: str, deadline: Deadline, match: int | None, metadata: Mapping[str, str]
    ) -> Send:
        body = msgspec.json.encode({"name": name, "metadata": dict(metadata)})
        query = {"uploadType": "resumable", **_condition(match)}
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        answer = self._call(
            "write", name, deadline, method="POST", url=self._upload, query=query, headers=headers, body=body
        )
        url = answer.headers.get("location", "")
        if not url.startswith(("http://", "https://")):
            raise Garbled(SERVICE, "write", f"{name}: the answer names no upload session", hint="Try again.")

        def send(method: str, extra: Mapping[str, str], data: bytes, seconds: float) -> Answer:
            # The session's URL is its own authority: no token.
            request = self._client.build_request(method, url, headers=dict(extra), content=data)
            return self._send("write", name, deadline.within(seconds), request)

        return send

    def delete(self, name: str, deadline: Deadline, *, if_generation_match: int | None = None) -> None:
        check_name(SERVICE, "delete", name)
        query = _condition(if_generation_match)
        self._call("delete", name, deadline, method="DELETE", url=self._url(name), query=query)

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
        query = {"alt": "media", "generation": str(info.generation)}
        with ExitStack() as stack:
            with _wire_errors("read", name):
                request = self._request("GET", self._url(name), deadline, query=query)
                response = self._open("read", name, deadline, request)
                stack.callback(response.close)
            if response.status_code == httpx.codes.NOT_FOUND:
                detail = f"{name} was replaced between the first look and the read"
                raise Interrupted(SERVICE, "read", detail, hint="Read it again.")
            if response.status_code != httpx.codes.OK:
                raise error_of("read", name, _read_all("read", name, deadline, response))
            yield CheckedReader(SERVICE, info, _Blocks(name, deadline, response).pull)

    def stat(self, name: str, deadline: Deadline) -> ObjectInfo:
        check_name(SERVICE, "stat", name)
        return self._stat("stat", name, deadline, None)

    def _stat(self, operation: str, name: str, deadline: Deadline, generation: int | None) -> ObjectInfo:
        query = {"fields": FIELDS} | ({} if generation is None else {"generation": str(generation)})
        answer = self._call(operation, name, deadline, method="GET", url=self._url(name), query=query)
        return parse_resource(operation, name, parse_json(operation, name, answer.body))

    def list(self, prefix: str, deadline: Deadline, *, versions: bool = False) -> Iterator[ObjectInfo]:
        query = {"prefix": prefix, "fields": f"nextPageToken,items({FIELDS})"}
        if versions:
            query["versions"] = "true"
        while True:
            answer = self._call("list", prefix, deadline, method="GET", url=self._objects, query=query)
            page = parse_json("list", prefix, answer.body)
            for resource in page.get("items", []):
                yield parse_resource("list", prefix, resource)
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = str(page["nextPageToken"])

    # ---- the wire

    def _url(self, name: str) -> str:
        return f"{self._objects}/{quote(name, safe='')}"

    def _call(
        self,
        operation: str,
        what: str,
        deadline: Deadline,
        *,
        method: str,
        url: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        request = self._request(method, url, deadline, query=query, headers=headers, body=body)
        answer = self._send(operation, what, deadline, request)
        if not httpx.codes.is_success(answer.status):
            raise error_of(operation, what, answer)
        return answer

    def _request(
        self,
        method: str,
        url: str,
        deadline: Deadline,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> httpx.Request:
        # identity: what arrives is what is stored, so that sizes and checksums compare.
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        token = self._token(deadline) if self._token else ""
        if token:
            sent["Authorization"] = f"Bearer {token}"
        return self._client.build_request(method, url, params=query, headers=sent, content=body)

    def _send(self, operation: str, what: str, deadline: Deadline, request: httpx.Request) -> Answer:
        with _wire_errors(operation, what):
            response = self._open(operation, what, deadline, request)
            try:
                return _read_all(operation, what, deadline, response)
            finally:
                response.close()

    def _open(self, operation: str, what: str, deadline: Deadline, request: httpx.Request) -> httpx.Response:
        timeout = httpx.Timeout(time_out(operation, what, deadline))
        request.extensions = {**request.extensions, "timeout": timeout.as_dict()}
        return self._client.send(request, stream=True)


class _Blocks:
    """A response's body, pulled in pieces of the size that is asked for."""

    def __init__(self, name: str, deadline: Deadline, response: httpx.Response) -> None:
        self._name = name
        self._deadline = deadline
        self._blocks = response.iter_raw()
        self._rest = memoryview(b"")

    def pull(self, size: int) -> bytes:
        time_out("read", self._name, self._deadline)
        if not self._rest:
            with _wire_errors("read", self._name, cut=Interrupted):
                self._rest = memoryview(next(self._blocks, b""))
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)


def _read_all(operation: str, what: str, deadline: Deadline, response: httpx.Response) -> Answer:
    """The whole answer. The time-out of httpx is for one read: the deadline is checked between them."""
    parts = []
    with _wire_errors(operation, what):
        for block in response.iter_raw():
            time_out(operation, what, deadline)
            parts.append(block)
    headers = {key.lower(): value for key, value in response.headers.items()}
    return Answer(response.status_code, headers, b"".join(parts))


@contextmanager
def _wire_errors(operation: str, what: str, cut: type[DependencyError] = Unreachable) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise TimedOut(SERVICE, operation, f"{what}: {type(error).__name__}", hint="Try again.") from error
    except httpx.HTTPError as error:
        raise cut(
            SERVICE, operation, f"{what}: {error}", hint="Check the network and the endpoint."
        ) from error
    except httpx.StreamError as error:
        raise cut(SERVICE, operation, f"{what}: {error}", hint="Try again.") from error


def _condition(if_generation_match: int | None) -> dict[str, str]:
    return {} if if_generation_match is None else {"ifGenerationMatch": str(if_generation_match)}


def _multipart(resource: Mapping[str, Any], data: bytes) -> tuple[str, bytes]:
    """Content type and body of a multipart/related upload: the resource and the bytes."""
    mark = secrets.token_hex(16)
    head = (
        f"--{mark}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n".encode()
        + msgspec.json.encode(resource)
        + f"\r\n--{mark}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
    )
    return f"multipart/related; boundary={mark}", head + data + f"\r\n--{mark}--\r\n".encode()
