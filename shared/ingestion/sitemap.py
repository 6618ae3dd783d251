"""Reads sitemaps (https://www.sitemaps.org/protocol.html): lists of pages, or lists of such lists.

A sitemap is data from a web server. It is read by expat, which makes nothing of it but texts of elements;
document types, and with them entities that grow or reach out, are refused.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from xml.parsers import expat

from shared.errors import SourceError

LARGEST = 50 * 2**20
"""Bytes of one sitemap, as the protocol has it."""
MOST_PAGES = 100_000
_LONGEST = 2_048
_GZIP = b"\x1f\x8b"


@dataclass(slots=True)
class Sitemap:
    """Addresses in their order: of ``pages``, and of further ``sitemaps`` when it is an index."""

    pages: list[str] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)


def read_sitemap(data: bytes, source: str) -> Sitemap:
    """The sitemap in ``data``, XML or XML in gzip.

    Raises :class:`~shared.errors.SourceError`, naming ``source`` and the line, for what is no sitemap.
    """
    reader = _Reader(source)
    return reader.read(_opened(data, source) if data.startswith(_GZIP) else data)


class _Reader:
    """Collects the text of each ``loc`` that stands right inside of a ``url`` or a ``sitemap``."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._found = Sitemap()
        self._path: list[str] = []
        self._text: list[str] = []

    def read(self, data: bytes) -> Sitemap:
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._open
        parser.EndElementHandler = self._close
        parser.CharacterDataHandler = self._text.append
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            raise self._wrong(f"line {error.lineno} is no XML: {expat.ErrorString(error.code)}") from error
        except (ValueError, LookupError) as error:  # an encoding that Python does not have
            raise self._wrong(str(error)) from error
        return self._found

    def _open(self, name: str, _attributes: dict[str, str]) -> None:
        self._path.append(name.rpartition(":")[2])
        self._text.clear()
        if len(self._path) == 1 and self._path[0] not in ("urlset", "sitemapindex"):
            raise self._wrong(f"it is a {self._path[0][:40]!a} and no sitemap")
        if len(self._path) > 32:  # noqa: PLR2004 - extensions nest three deep
            raise self._wrong("it is nested too deeply")

    def _close(self, _name: str) -> None:
        inside, text = self._path[-2:], "".join(self._text).strip()
        self._path.pop()
        self._text.clear()
        if len(text) > _LONGEST or not text:
            return
        if inside == ["url", "loc"]:
            self._found.pages.append(text)
        elif inside == ["sitemap", "loc"]:
            self._found.sitemaps.append(text)
        if len(self._found.pages) + len(self._found.sitemaps) > MOST_PAGES:
            raise self._wrong(f"it lists more than {MOST_PAGES} addresses")

    def _refuse_doctype(self, *_facts: object) -> None:
        raise self._wrong("it has a document type, which sitemaps do not have")

    def _wrong(self, problem: str) -> SourceError:
        return SourceError(f"{self._source} cannot be read: {problem}.", hint="Check the site's sitemap.")


def _opened(data: bytes, source: str) -> bytes:
    engine = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        opened = engine.decompress(data, LARGEST)
    except zlib.error as error:
        raise SourceError(f"{source} is no gzip: {error}.", hint="Check the site's sitemap.") from error
    if engine.unconsumed_tail:
        raise SourceError(f"{source} is larger than {LARGEST // 2**20} MiB.", hint="Split the sitemap.")
    return opened
