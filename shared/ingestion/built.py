"""A built Docusaurus site as files: the pages of its manifests, else those of its sitemaps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from posixpath import dirname
from urllib.parse import unquote, urlsplit

from shared.errors import SourceError
from shared.ingestion import manifest
from shared.ingestion.addresses import join_address
from shared.ingestion.digests import source_digest
from shared.ingestion.files import File, Files
from shared.ingestion.html import read_html
from shared.ingestion.manifest import Entry, Manifest, article_hash, read_manifest
from shared.ingestion.reading_files import FilePages, decoded
from shared.ingestion.site import EVERYTHING, Item, Known, Progress, Refused, Share, unique
from shared.ingestion.sitemap import LARGEST, read_sitemap
from shared.retrieval.chunks import Page


class BuiltSite:
    """Implements :class:`~shared.ingestion.site.Source` for what ``docusaurus build`` wrote.

    With the plugin's manifests, one a locale, their pages are read, and only those whose hash is not known.
    Without, the pages that the sitemaps list; without sitemaps, all. ``base_url`` is the address that the
    folder is published at, where it is not the one that the pages name.
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
        if self._manifests:
            return unique(self._of_manifests(known, share, progress))
        pages = [file for file in self._listed if file.name.lower().endswith(".html")]
        listing = source_digest("sitemap", *sorted(self._sitemap))
        # Where an address does not tell whether its page is listed, every page depends on the sitemaps.
        facts = ("built", self._base_url, listing) if self._base_url else ("built",)
        reader = FilePages(self._files, facts, self._page)
        return unique(reader.items(pages, known, share, progress, is_wanted=self._is_listed))

    # ------------------------------------------------------------ with manifests

    @cached_property
    def _manifests(self) -> list[tuple[str, Manifest]]:
        """Each with the folder that it lies in, relative, ending in a slash but for the first."""
        named = (file for file in self._listed if file.name.rpartition("/")[2] == manifest.FILE)
        found = sorted(named, key=lambda file: (file.name.count("/"), file.name))
        read = [read_manifest(self._files.read(file, manifest.LARGEST), file.name) for file in found]
        folders = [dirname(file.name) for file in found]
        return [(f"{folder}/" if folder else "", one) for folder, one in zip(folders, read, strict=True)]

    def _of_manifests(self, known: Known, share: Share, progress: Progress) -> Iterator[Item | Refused]:
        files = {file.name: file for file in self._listed}
        total, done = sum(len(one.pages) for _, one in self._manifests), 0
        for folder, one in self._manifests:
            for entry in one.entries(folder + manifest.FILE):
                done += 1
                if isinstance(entry, Refused):
                    if share(entry.source):
                        yield entry
                elif share(folder + entry.html):
                    yield from self._entry(folder, one, entry, files, known)
                progress("reading", done, total)

    def _entry(
        self, folder: str, one: Manifest, entry: Entry, files: dict[str, File], known: Known
    ) -> Iterator[Item | Refused]:
        place, url = folder + entry.html, self._address(folder, one, entry)
        hashed = f"manifest:{one.source_hash(entry)}"
        if known.get(url) == hashed:
            yield Item(place, url, hashed, None)
            return
        if place not in files:
            yield Refused(place, "the manifest lists it and it is not there")
            return
        try:
            data = self._files.read(files[place])
            page = read_html(decoded(data, place), url=url, source=place)
        except SourceError as error:
            yield Refused(place, error.message, url)
            return
        except RecursionError:
            yield Refused(place, "it is nested too deeply", url)
            return
        if page is not None:
            # A file that is not what the manifest was made of may be replaced soon: it is read again.
            is_same = article_hash(data) == entry.sha256
            yield Item(place, url, hashed if is_same else "", replace(page, url=url))

    def _address(self, folder: str, one: Manifest, entry: Entry) -> str:
        if not self._base_url:
            return one.site + entry.permalink
        return join_address(self._base_url, folder + entry.permalink[len(one.base_url) :])

    # ------------------------------------------------------------ without

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
