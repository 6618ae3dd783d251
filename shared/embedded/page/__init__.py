"""The page that ``make run`` opens: its files, and the headers that they are sent with."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

HEADERS = {
    # Nothing inline and nothing from elsewhere: text from the docs cannot bring a script along.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
    "Referrer-Policy": "same-origin",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the page."""

    content: bytes
    content_type: str


def assets() -> dict[str, Asset]:
    """Every file by the path that it is served under; the page itself under ``/``."""
    found: dict[str, Asset] = {}
    for file in resources.files(__name__).iterdir():
        kind = _TYPES.get(file.name[file.name.rfind(".") :])
        if kind:
            path = "/" if file.name == "index.html" else f"/{file.name}"
            found[path] = Asset(file.read_bytes(), kind)
    return found
