"""A built Docusaurus site without manifests, as files: the pages of its sitemaps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from urllib.parse import unquote, urlsplit

from shared.ingestion.addresses import join_address
from shared.ingestion.digests import source_digest
from shared.ingestion.files import File, Files
from shared.ingestion.html import read_html
from shared.ingestion.reading_files import FilePages
from shared.ingestion.site import EVERYTHING, Item, Known, Progress, Refused, Share, unique
from shared.ingestion.sitemap import LARGEST, read_sitemap
from shared.retrieval.chunks import Page


class BuiltSite:
    """Implements :class:`~shared.ingestion.site.Source` for what ``docusaurus build`` wrote.

    The pages are those that the sitemaps list, one a locale; without sitemaps, all. ``base_url`` is the
    address that the folder is published at, where it is not the one that the pages name.
    """

    def __init__(self, files: Files, listed: Sequence[File], base_url: str = "") -> None:
        self._files = files
        self._listed = listed
        self._base_url = base_url.rstrip("/")

    @property
    def name(self) -> str:
        return self._base_url or self._files.place

    def items(
        self, known: Known, *, share: Share = EVERYTHING, progress: Progress = lambda *_step: None
    ) -> Iterator[Item | Refused]:
        pages = [file for file in self._listed if file.name.lower().endswith(".html")]
        listing = source_digest("sitemap", "", *sorted(self._sitemap))
        # Where an address does not tell whether its page is listed, every page depends on the sitemaps.
        facts = ("built", self._base_url, listing) if self._base_url else ("built",)
        reader = FilePages(self._files, facts, self._page)
        return unique(reader.items(pages, known, share, progress, is_wanted=self._is_listed))

    @cached_property
    def _sitemap(self) -> frozenset[str]:
        """Paths of the pages that the sitemaps list; empty without sitemaps."""
        found: set[str] = set()
        for file in self._listed:
            if file.name.rpartition("/")[2] == "sitemap.xml":
                pages = read_sitemap(self._files.read(file, LARGEST), file.name).pages
                found.update(_path_of(address) for address in pages)
        return frozenset(found)

    def _is_listed(self, url: str) -> bool:
        return bool(self._base_url) or not self._sitemap or _path_of(url) in self._sitemap

    def _page(self, text: str, source: str) -> Page | None:
        place = re.sub(r"(?:(?:^|/)index)?\.html$", "", source)
        page = read_html(text, url=join_address(self._base_url, place), source=source)
        if page is None or (self._sitemap and _path_of(page.url) not in self._sitemap):
            return None
        if not self._base_url:
            return page
        return replace(page, url=join_address(self._base_url, place + "/" * page.url.endswith("/")))


def _path_of(address: str) -> str:
    try:
        return unquote(urlsplit(address).path).rstrip("/")
    except ValueError:
        return ""
