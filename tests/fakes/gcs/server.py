"""The HTTP side of the fake: routes, tokens, faults."""

from __future__ import annotations

import base64
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from tests.fakes.gcs.bucket import ApiError, Bucket, Version
from tests.fakes.gcs.faults import Fault, Faults
from tests.fakes.gcs.uploads import Session, keep, keep_cut, parse_json, parse_multipart, parse_range
from tests.fakes.served import QuietHandler, QuietServer

_PATH = re.compile(
    r"(?P<prefix>/upload|/download)?/storage/v1/b/(?P<bucket>[^/]+)(?P<objects>/o(?:/(?P<name>.+))?)?$"
)
_TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"


class FakeGcs:
    """One bucket behind the JSON API on 127.0.0.1; use it as a context manager or start and stop it.

    ``token``: when set, requests need ``Authorization: Bearer <token>`` (401 otherwise), and the
    metadata server's path hands it out. ``page_size`` bounds a page of a listing. ``bucket`` is the
    state: set ``retention_seconds``, ``hold`` objects, read what is live. ``faults`` go wrong on demand.
    """

    def __init__(
        self,
        bucket: str = "lectern-test",
        *,
        versioning: bool = False,
        token: str = "",
        page_size: int = 1000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.bucket = Bucket(bucket, versioning=versioning, clock=clock)
        self.token = token
        self.token_seconds = 3600
        self.page_size = page_size
        self.faults = Faults()
        self.sessions: dict[str, Session] = {}
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.gcs = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def metadata_url(self) -> str:
        return self.endpoint + _TOKEN_PATH

    def start(self) -> FakeGcs:
        self._thread.start()
        return self

    def stop(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def hold(self, name: str, *, on: bool = True) -> None:
        self.bucket.patch(name, {}, {"temporaryHold": on})


class _Server(QuietServer):
    gcs: FakeGcs


class _Cut(Exception):
    """Reset the connection now."""


class _Handler(QuietHandler):
    timeout = 60
    server: _Server

    def _serve(self) -> None:
        self.gcs = self.server.gcs
        split = urlsplit(self.path)
        self.query = dict(parse_qsl(split.query, keep_blank_values=True))
        self.fault: Fault | None = None
        self.unread = int(self.headers.get("Content-Length") or 0)
        try:
            try:
                operation, act = self._route(split.path)
                self._strike(operation)
                if operation != "token":
                    self._check_token()
                act()
            except ApiError as error:
                self._read_body()
                self._answer(error.status, json.dumps(error.body).encode(), error.headers)
        except _Cut:
            self._reset()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815, the base class names them

    # ---- routes

    def _route(self, path: str) -> tuple[str, Callable[[], None]]:
        if path == _TOKEN_PATH:
            return "token", self._token
        match = _PATH.match(path)
        if not match or unquote(match["bucket"]) != self.gcs.bucket.name:
            raise ApiError(404, "notFound", "The specified bucket does not exist.")
        if match["prefix"] == "/upload":
            return self._route_upload()
        if match["name"] is None:
            return ("list", self._list) if match["objects"] else ("bucket", self._bucket)
        self.name = unquote(match["name"])
        if self.command == "GET" and self.query.get("alt") == "media":
            return "media", self._media
        table = {
            "GET": ("stat", self._stat),
            "DELETE": ("delete", self._delete),
            "PATCH": ("patch", self._patch),
        }
        if self.command not in table:
            raise ApiError(405, "methodNotAllowed", self.command)
        return table[self.command]

    def _route_upload(self) -> tuple[str, Callable[[], None]]:
        if "upload_id" in self.query:
            if self.command == "DELETE":
                return "cancel", self._cancel
            is_status = self.headers.get("Content-Range", "") == "bytes */*"
            return ("status" if is_status else "chunk"), self._chunk
        if self.query.get("uploadType") == "resumable":
            return "initiate", self._initiate
        return "insert", self._insert

    def _token(self) -> None:
        if self.headers.get("Metadata-Flavor") != "Google":
            raise ApiError(403, "forbidden", "Missing Metadata-Flavor:Google header.")
        self._json(
            {"access_token": self.gcs.token, "expires_in": self.gcs.token_seconds, "token_type": "Bearer"}
        )

    def _bucket(self) -> None:
        versioning = {"enabled": self.gcs.bucket.versioning}
        self._json({"kind": "storage#bucket", "name": self.gcs.bucket.name, "versioning": versioning})

    def _list(self) -> None:
        every = self.gcs.bucket.listing(
            self.query.get("prefix", ""), versions=self.query.get("versions", "").lower() == "true"
        )
        after = _decode_token(self.query.get("pageToken", ""))
        rest = [version for version in every if (version.name, version.generation) > after]
        size = min(self.gcs.page_size, int(self.query.get("maxResults", 1000)))
        answer: dict[str, Any] = {"kind": "storage#objects"}
        if rest:
            answer["items"] = [self._resource(version) for version in rest[:size]]
        if len(rest) > size:
            answer["nextPageToken"] = _encode_token(rest[size - 1])
        self._json(answer)

    def _stat(self) -> None:
        self._json(self._resource(self.gcs.bucket.find(self.name, self.query)))

    def _patch(self) -> None:
        self._json(
            self._resource(self.gcs.bucket.patch(self.name, self.query, parse_json(self._read_body())))
        )

    def _delete(self) -> None:
        self.gcs.bucket.delete(self.name, self.query)
        self._answer(204, b"", {})

    def _media(self) -> None:
        version = self.gcs.bucket.find(self.name, self.query)
        headers = {
            "Content-Type": "application/octet-stream",
            "X-Goog-Generation": str(version.generation),
            "X-Goog-Metageneration": str(version.metageneration),
            "X-Goog-Stored-Content-Length": str(len(version.data)),
            "X-Goog-Hash": f"crc32c={version.crc32c},md5={version.md5}",
        }
        wanted = self.headers.get("Range", "")
        if not wanted.startswith("bytes="):
            return self._answer(200, version.data, headers)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(version.data)), len(version.data) - 1)
        if start >= len(version.data):
            raise ApiError(416, "requestedRangeNotSatisfiable", "The requested range cannot be satisfied.")
        headers["Content-Range"] = f"bytes {start}-{end}/{len(version.data)}"
        return self._answer(206, version.data[start : end + 1], headers)

    # ---- uploads

    def _insert(self) -> None:
        body = self._read_body()
        resource: dict[str, Any] = {}
        if self.query.get("uploadType") == "multipart":
            resource, body = parse_multipart(self.headers.get("Content-Type", ""), body)
        body = self._damaged(body)
        name = resource.get("name") or self.query.get("name", "")
        if not name:
            raise ApiError(400, "required", "Required parameter: name")
        version = self.gcs.bucket.insert(name, body, self.query, resource, self._hashes())
        self._json(self._resource(version))

    def _initiate(self) -> None:
        resource = parse_json(self._read_body())
        name = resource.get("name") or self.query.get("name", "")
        self.gcs.bucket.check_write(name, self.query)
        session = Session(self.gcs.bucket.name, name, dict(self.query), resource)
        self.gcs.sessions[session.id] = session
        path = f"/upload/storage/v1/b/{quote(session.bucket)}/o?uploadType=resumable&upload_id={session.id}"
        self._answer(200, b"", {"Location": self.gcs.endpoint + path, "X-GUploader-UploadID": session.id})

    def _session(self) -> Session:
        session = self.gcs.sessions.get(self.query["upload_id"])
        if session is None:
            raise ApiError(404, "notFound", "No such upload.")
        if session.cancelled:
            raise ApiError(410, "gone", "The upload was cancelled.")
        return session

    def _chunk(self) -> None:
        session = self._session()
        text = self.headers.get("Content-Range", "")
        try:
            body = self._read_body()
        except _Cut:
            keep_cut(session, text, self.received)
            raise
        if session.finished is not None:
            return self._json(session.finished)
        body = self._damaged(body)
        span = parse_range(text or f"bytes 0-{len(body) - 1}/{len(body)}", len(body))
        if not keep(session, span, body):
            return self._answer(308, b"", session.range_header())
        try:
            version = self.gcs.bucket.insert(
                session.name, bytes(session.data), session.query, session.resource, self._hashes()
            )
        except ApiError:
            session.cancelled = True
            raise
        session.finished = self._resource(version)
        session.data.clear()
        return self._json(session.finished)

    def _cancel(self) -> None:
        session = self._session()
        if session.finished is None:
            session.cancelled = True
            session.data.clear()
        self._answer(499, b"", {})

    def _hashes(self) -> dict[str, str]:
        pairs = (
            pair.strip().split("=", 1)
            for pair in self.headers.get("X-Goog-Hash", "").split(",")
            if "=" in pair
        )
        found = {kind: value for kind, value in pairs if kind in {"crc32c", "md5"}}
        if self.headers.get("Content-MD5"):
            found["md5"] = self.headers["Content-MD5"]
        return found

    # ---- the wire

    def _check_token(self) -> None:
        # A resumable session's URL is its own authority, as in Cloud Storage.
        if not self.gcs.token or "upload_id" in self.query:
            return
        if self.headers.get("Authorization") != f"Bearer {self.gcs.token}":
            raise ApiError(401, "authError", "Invalid Credentials")

    def _strike(self, operation: str) -> None:
        self.fault = self.gcs.faults.take(operation)
        if self.fault is None:
            return
        if self.fault.delay and self.gcs.stopped.wait(self.fault.delay):
            raise _Cut
        if self.fault.drop:
            raise _Cut
        if self.fault.status:
            error = ApiError(self.fault.status, self.fault.reason, self.fault.message)
            error.headers = {"Retry-After": self.fault.retry_after} if self.fault.retry_after else {}
            raise error

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            raise ApiError(411, "required", "Content-Length is required.")
        cut = self.fault.cut_request if self.fault else -1
        self.received = self.rfile.read(min(self.unread, cut) if cut >= 0 else self.unread)
        if cut >= 0 or len(self.received) < self.unread:
            raise _Cut
        self.unread = 0
        return self.received

    def _damaged(self, body: bytes) -> bytes:
        if self.fault and self.fault.damage_request and body:
            return body[:-1] + bytes([body[-1] ^ 1])
        return body

    def _resource(self, version: Version) -> dict[str, Any]:
        return version.resource(self.gcs.bucket.name)

    def _json(self, answer: Any) -> None:
        self._answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json; charset=UTF-8"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        fault = self.fault or Fault("stat")
        if fault.lose_answer:
            raise _Cut
        if fault.garbage is not None:
            body = fault.garbage
        if fault.flip and body:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        self.send_response(status, "Resume Incomplete" if status == 308 else None)
        for key, value in headers.items():
            self.send_header(key, value)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault.cut_response >= 0:
            self.wfile.write(body[: fault.cut_response])
            raise _Cut
        if fault.drip:
            self._drip(body, fault.drip)
        elif status not in {204, 304}:
            self.wfile.write(body)

    def _drip(self, body: bytes, seconds: float) -> None:
        for at in range(0, len(body), 1024):
            self.wfile.write(body[at : at + 1024])
            if self.gcs.stopped.wait(seconds):
                raise _Cut

    def _reset(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        # Linger of 0 seconds: the client sees a reset, not an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def _encode_token(version: Version) -> str:
    return base64.urlsafe_b64encode(json.dumps([version.name, version.generation]).encode()).decode()


def _decode_token(token: str) -> tuple[str, int]:
    if not token:
        return "", 0
    name, generation = json.loads(base64.urlsafe_b64decode(token))
    return name, generation
