"""A built Docusaurus site with the plugin's manifests, one a locale, as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from posixpath import dirname

from shared.errors import SourceError
from shared.ingestion import manifest
from shared.ingestion.addresses import join_address
from shared.ingestion.ahead import in_order
from shared.ingestion.files import File, Files
from shared.ingestion.html import read_html
from shared.ingestion.manifest import Entry, Manifest, article_hash, read_manifest
from shared.ingestion.reading_files import decoded
from shared.ingestion.site import EVERYTHING, Item, Known, Progress, Refused, Share, unique


@dataclass(frozen=True, slots=True)
class _Listed:
    """A page of a manifest: its file, its address, the hash of what the manifest says of it."""

    place: str
    url: str
    hash: str
    entry: Entry


class ManifestSite:
    """Implements :class:`~shared.ingestion.site.Source`: reads the pages whose hash is not known.

    ``base_url`` is the address that the folder is published at, where it is not the one that the manifests
    name.
    """

    def __init__(self, files: Files, listed: Sequence[File], base_url: str = "") -> None:
        self._files = files
        self._by_name = {file.name: file for file in listed}
        self._base_url = base_url.rstrip("/")

    @property
    def name(self) -> str:
        return self._base_url or self._files.place

    def items(
        self, known: Known, *, share: Share = EVERYTHING, progress: Progress = lambda *_step: None
    ) -> Iterator[Item | Refused]:
        read = self._manifests()
        total = sum(len(one.pages) for _, one in read)
        return unique(self._items(self._pages(read, share), known, progress, total))

    def _manifests(self) -> list[tuple[str, Manifest]]:
        """Each with the folder that it lies in, relative, ending in a slash but for the first."""
        named = (name for name in self._by_name if name.rpartition("/")[2] == manifest.FILE)
        found = []
        for name in sorted(named, key=lambda name: (name.count("/"), name)):
            data = self._files.read(self._by_name[name], manifest.LARGEST)
            folder = dirname(name)
            found.append((f"{folder}/" if folder else "", read_manifest(data, name)))
        return found

    def _pages(
        self, read: Sequence[tuple[str, Manifest]], share: Share
    ) -> Iterator[_Listed | Refused | None]:
        """What the manifests list; None for what belongs to another share."""
        for folder, one in read:
            for entry in one.entries(folder + manifest.FILE):
                place = entry.source if isinstance(entry, Refused) else folder + entry.html
                if not share(place):
                    yield None
                elif isinstance(entry, Refused):
                    yield entry
                else:
                    hashed = f"manifest:{one.source_hash(entry)}"
                    yield _Listed(place, self._address(folder, one, entry), hashed, entry)

    def _address(self, folder: str, one: Manifest, entry: Entry) -> str:
        if not self._base_url:
            return one.site + entry.permalink
        return join_address(self._base_url, folder + entry.permalink[len(one.base_url) :])

    def _items(
        self, pages: Iterator[_Listed | Refused | None], known: Known, progress: Progress, total: int
    ) -> Iterator[Item | Refused]:
        def one(page: _Listed | Refused | None) -> Item | Refused | None:
            return self._item(page, known) if isinstance(page, _Listed) else page

        for done, found in enumerate(in_order(one, pages, self._files.readers), 1):
            if found is not None:
                yield found
            progress("reading", done, total)

    def _item(self, page: _Listed, known: Known) -> Item | Refused | None:
        if known.get(page.url) == page.hash:
            return Item(page.place, page.url, page.hash, None)
        if page.place not in self._by_name:
            return Refused(page.place, "the manifest lists it and it is not there")
        try:
            data = self._files.read(self._by_name[page.place])
            read = read_html(decoded(data, page.place), url=page.url, source=page.place)
        except SourceError as error:
            return Refused(page.place, error.message, page.url)
        except RecursionError:
            return Refused(page.place, "it is nested too deeply", page.url)
        # A file that is not what the manifest was made of may be replaced soon: it is read again.
        hashed = page.hash if article_hash(data) == page.entry.sha256 else ""
        return Item(page.place, page.url, hashed, replace(read, url=page.url)) if read is not None else None
