"""All functions in one process behind one address, beside the local page and the rendered handbook.

Each function is made by functions-framework from its own source file, as on Cloud Run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import functions_framework
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

from shared.embedded import page
from shared.errors import StackError
from shared.settings import ROOT, Settings
from shared.wiring import process

FUNCTIONS = {
    "chat": "chat",
    "suggestions": "chat",
    "feedback": "chat",
    "conversations": "chat",
    "metrics": "chat",
    "health": "health",
    "live": "health",
    "ready": "health",
    "ingest": "ingest",
    "backup": "backup",
    "drill": "drill",
}
"""First part of a path -> function; ``/backup/neon`` and ``/backup/qdrant`` are two."""

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class LocalServer:
    """Serves on 127.0.0.1. ``port`` 0 takes a free one.

    The functions log to the file ``log``. Raises :class:`~shared.errors.StackError` when the port is in use.
    """

    def __init__(self, settings: Settings, port: int, site: Wsgi, log: Path) -> None:
        self._log = log.open("a", encoding="utf-8", buffering=1)
        process.use(settings, self._log.write)
        self._site = site
        self._functions: dict[str, Wsgi] = {}
        self._making = threading.Lock()
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self._server = _bound(port, self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def serve(self) -> None:
        """Serve until :meth:`stop`."""
        self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._log.close()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        name = _function_at(environ.get("PATH_INFO", "/"))
        application = self._function(name) if name else self._site
        return application(environ, start_response)

    def _function(self, name: str) -> Wsgi:
        with self._making:
            if name not in self._functions:
                source = str(ROOT / "functions" / f"{name}.py")
                made = functions_framework.create_app(  # type: ignore[no-untyped-call]
                    target=name, source=source, signature_type="http"
                )
                self._functions[name] = made.wsgi_app
        return self._functions[name]


def _function_at(path: str) -> str:
    parts = path.strip("/").split("/")
    name = FUNCTIONS.get(parts[0], "")
    if name != "backup":
        return name
    return {"neon": "backup_neon", "qdrant": "backup_qdrant"}.get(parts[-1], "")


class _Quiet(WSGIRequestHandler):
    """HTTP/1.1, so that events stream in chunks; the functions write their own log lines."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Leave it to the functions."""


def _bound(port: int, application: Wsgi) -> BaseWSGIServer:
    try:
        return make_server("127.0.0.1", port, application, threaded=True, request_handler=_Quiet)
    except (OSError, SystemExit) as error:
        raise StackError(
            f"Port {port} on 127.0.0.1 is in use.",
            hint="Choose another with --port (0 takes a free one).",
        ) from error


Found = tuple[bytes, str]
"""Content and content type."""


def site(pages: Callable[[str], Found | None]) -> Wsgi:
    """The local page at ``/``, and what ``pages`` has for a path."""
    assets = page.assets()

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        asset = assets.get(path)
        found = (asset.content, asset.content_type) if asset else pages(path)
        if found is None:
            text = f"There is nothing at {path}.\n".encode()
            response = Response(text, 404, content_type="text/plain; charset=utf-8")
        else:
            response = Response(found[0], 200, content_type=found[1])
        response.headers.update(page.HEADERS)
        return response(environ, start_response)

    return serve
