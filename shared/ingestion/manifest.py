"""The manifest that the plugin in ``widget/plugin`` writes beside the pages of each locale.

It names every page that readers may find, with a hash of what they read there. Nothing in it is trusted more
than a page is: it is data from the site, checked field by field.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from shared.errors import SourceError
from shared.ingestion.site import Refused

FILE = "lectern-manifest.json"
SCHEMA = 1
LARGEST = 64 * 2**20
"""Bytes of a manifest; a page takes about 500."""
MOST_PAGES = 100_000

_Text = Annotated[str, msgspec.Meta(max_length=10_000)]
_Path = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
_Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Entry(msgspec.Struct, frozen=True):
    """A page of the manifest. ``permalink`` begins with a slash, ``html`` is the file relative to the
    manifest; ``sha256`` is that of the article (see :func:`article_hash`).
    """

    permalink: _Path
    html: _Path
    sha256: _Digest
    title: _Text = ""
    description: _Text = ""
    version: _Text = ""
    kind: _Text = ""
    draft: bool = False
    unlisted: bool = False


class _Envelope(msgspec.Struct, frozen=True):
    lectern_manifest: int
    site: str
    base_url: str
    locale: str
    pages: list[msgspec.Raw]
    manifests: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One locale's manifest. ``manifests`` holds the addresses of those of all locales."""

    site: str
    base_url: str
    locale: str
    manifests: tuple[str, ...]
    pages: tuple[msgspec.Raw, ...]

    def entries(self, source: str) -> Iterator[Entry | Refused]:
        """The pages that readers may find, in the manifest's order; those that are damaged are refused."""
        for number, raw in enumerate(self.pages, 1):
            where = f"{source}, page {number}"
            try:
                entry = msgspec.json.decode(raw, type=Entry)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield Refused(where, f"it is not of the documented form: {error}")
                continue
            problem = _problem(entry, self.base_url)
            if problem:
                yield Refused(where, problem)
            elif not (entry.draft or entry.unlisted):
                yield entry

    def source_hash(self, entry: Entry) -> str:
        """Changes with the article, and with what the page's head says beside it."""
        said = (entry.sha256, entry.title, entry.description, entry.version, self.locale)
        return blake2b(repr(said).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def read_manifest(data: bytes, source: str) -> Manifest:
    """The manifest in ``data``; ``source`` names it in messages.

    Raises :class:`~shared.errors.SourceError` for one that is damaged, or of a schema that is not known.
    """
    try:
        read = msgspec.json.decode(data, type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(source, str(error), "Build the site again.") from error
    if read.lectern_manifest != SCHEMA:
        raise _wrong(
            source,
            f"its schema is {read.lectern_manifest} and not {SCHEMA}",
            "Use the plugin and Lectern of the same release.",
        )
    if len(read.pages) > MOST_PAGES:
        raise _wrong(source, f"it lists more than {MOST_PAGES} pages", "Split the site.")
    if not read.base_url.startswith("/") or not read.base_url.endswith("/"):
        raise _wrong(source, "its base_url does not begin and end with a slash", "Build the site again.")
    if urlsplit(read.site).scheme not in ("http", "https"):
        raise _wrong(source, "its site is no web address", "Set `url` in docusaurus.config.js.")
    return Manifest(
        read.site.rstrip("/"),
        read.base_url,
        read.locale,
        tuple(read.manifests.values()),
        tuple(read.pages),
    )


def article_hash(html: bytes) -> str:
    """sha256 (hex) of the bytes from the first ``<article`` to the end of the last ``</article>``, else of
    ``<main``, else of all: what the plugin writes, so that both can be held against each other. Names of
    scripts and styles, which every edit in the site changes, stand outside of that part.
    """
    return hashlib.sha256(_article(html)).hexdigest()


def _article(html: bytes) -> bytes:
    for tag in (b"article", b"main"):
        start, close = html.find(b"<" + tag), b"</" + tag + b">"
        end = html.rfind(close)
        if 0 <= start < end:
            return html[start : end + len(close)]
    return html


def _problem(entry: Entry, base_url: str) -> str:
    parts = entry.html.split("/")
    if "\\" in entry.html or any(part in ("", ".", "..") for part in parts) or "\x00" in entry.html:
        return f"{entry.html[:80]!a} is no file of the build"
    within = entry.permalink.startswith(base_url) or entry.permalink == base_url.rstrip("/")
    if not within or entry.permalink.startswith("//") or ".." in entry.permalink.split("/"):
        return f"{entry.permalink[:80]!a} does not lie under {base_url}"
    return ""


def _wrong(source: str, problem: str, hint: str) -> SourceError:
    return SourceError(f"{source} cannot be read: {problem}.", hint=hint)
