"""Which pages a site over HTTPS has: by its manifests, else by its sitemaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from selectolax.lexbor import LexborHTMLParser

from shared.errors import DependencyError, Missing, SourceError
from shared.ingestion import manifest, sitemap
from shared.ingestion.addresses import resolve
from shared.ingestion.files import LARGEST_FILE
from shared.ingestion.html import read_head
from shared.ingestion.manifest import Manifest, read_manifest
from shared.ingestion.nesting import is_too_deep
from shared.ingestion.site import Refused
from shared.ingestion.sitemap import read_sitemap
from shared.ports import Fetched, Fetcher
from shared.resilience.deadline import Deadline

STEP_SECONDS = 120.0
MOST_SITEMAPS = 500
DEEPEST = 3
"""Indexes of sitemaps inside of each other; the protocol has one."""
MOST_ASKED = 5
"""Pages that are asked for the other locales until one tells."""
_LARGEST_PAGE = LARGEST_FILE


@dataclass(frozen=True, slots=True)
class Listed:
    """A page to fetch. ``hash`` and ``sha256`` (of its article) are the manifest's; empty when a sitemap
    lists it. ``problem`` says why it must not be fetched.
    """

    place: str
    url: str
    hash: str = ""
    sha256: str = ""
    problem: str = ""


def list_pages(fetcher: Fetcher, place: str) -> list[Listed]:
    """The pages of the site that ``fetcher`` reads; ``place`` is its address, or that of its sitemap.

    Raises :class:`~shared.errors.SourceError` when the site has neither manifest nor sitemap, or one that is
    damaged; the errors of the fetcher when it cannot be asked.
    """
    if not place.endswith(".xml"):
        first = _manifest(fetcher, fetcher.base + manifest.FILE)
        if first is not None:
            return list(_of_manifests(fetcher, first))
    start = place if place.endswith(".xml") else fetcher.base + "sitemap.xml"
    try:
        found = _Sitemaps(fetcher).pages(start)
    except Missing as error:
        raise SourceError(
            f"{fetcher.base} has neither {manifest.FILE} nor sitemap.xml.",
            hint="Give the address of its sitemap, or the folder of its build.",
        ) from error
    if not found:
        raise SourceError(f"{start} lists no page.", hint="Check the site's sitemap.")
    return [Listed(url, url) for url in found]


# ------------------------------------------------------------ manifests


def _manifest(fetcher: Fetcher, address: str) -> tuple[str, Manifest] | None:
    """The manifest with its own address; None when the site has none, or answers with a page instead."""
    try:
        found = fetcher.fetch(address, Deadline.after(STEP_SECONDS), most_bytes=manifest.LARGEST)
    except Missing:
        return None
    if found.content_type == "text/html":
        return None
    return found.url, read_manifest(found.body, address)


def _of_manifests(fetcher: Fetcher, first: tuple[str, Manifest]) -> Iterator[Listed]:
    """The pages of this locale and of all others that lie within the site."""
    own, read = first
    yield from _entries(own, read)
    root = own.removesuffix(manifest.FILE)
    for address in read.manifests:
        # Read from where this one was: a preview names the addresses of the published site.
        base = read.site + read.base_url
        if address.startswith(base) and address != base + manifest.FILE:
            other = _manifest(fetcher, root + address.removeprefix(base))
            if other is not None:
                yield from _entries(*other)


def _entries(address: str, read: Manifest) -> Iterator[Listed]:
    root = address.removesuffix(manifest.FILE)
    for entry in read.entries(address):
        if isinstance(entry, Refused):
            yield Listed(entry.source, "", problem=entry.reason)
        else:
            url = root + entry.permalink[len(read.base_url) :]
            yield Listed(url, url, f"manifest:{read.source_hash(entry)}", entry.sha256)


# ------------------------------------------------------------ sitemaps


class _Sitemaps:
    """Reads a sitemap, what its index names, and those of the other locales."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._pages: dict[str, None] = {}
        self._read: set[str] = set()

    def pages(self, start: str) -> list[str]:
        self._take(start, 1)
        for other in self._of_locales(start):
            try:
                self._take(other, 1)
            except Missing:
                continue
        return list(self._pages)

    def _take(self, address: str, depth: int) -> None:
        if address in self._read:
            return
        if depth > DEEPEST or len(self._read) >= MOST_SITEMAPS:
            raise SourceError(
                f"{address} is one sitemap too many: at most {MOST_SITEMAPS}, {DEEPEST} deep, are read.",
                hint="Write the manifest with the Docusaurus plugin instead.",
            )
        self._read.add(address)
        found = read_sitemap(self._fetch(address, sitemap.LARGEST).body, address)
        self._pages.update(dict.fromkeys(resolve(address, page) for page in found.pages))
        if len(self._pages) > sitemap.MOST_PAGES:
            raise SourceError(
                f"{address}: the site has more than {sitemap.MOST_PAGES} pages.", hint="Split it."
            )
        for inner in found.sitemaps:
            self._take(resolve(address, inner), depth + 1)

    def _of_locales(self, start: str) -> Iterator[str]:
        """Docusaurus writes a sitemap for each locale, and none of them names the others: the pages do."""
        base = self._fetcher.base
        if start != base + "sitemap.xml":
            return
        here, others = self._translations()
        for other in others:
            # As the page names itself and its translations: a preview names those of the published site.
            if other.startswith(here) and other != here:
                yield base + other.removeprefix(here) + "sitemap.xml"

    def _translations(self) -> tuple[str, list[str]]:
        """Where the site lies by the account of its own pages, and where its translations lie.

        As the first page tells that can be read. A page that fails is no sign that there are no
        translations, all of whose pages would be removed: its error is raised when no other can be read.
        """
        failed: DependencyError | None = None
        has_read = False
        for page, found in islice(self._answers(), MOST_ASKED):
            if isinstance(found, DependencyError):
                failed = found
                continue
            has_read = True
            told = _told(found, page.removeprefix(self._fetcher.base))
            if told is not None:
                return told
        if failed is not None and not has_read:
            raise failed
        return "", []

    def _answers(self) -> Iterator[tuple[str, Fetched | DependencyError]]:
        """The site's pages as they come, but for those that are listed and not there."""
        for page in self._pages:
            if page.startswith(self._fetcher.base):
                try:
                    yield page, self._fetch(page, _LARGEST_PAGE)
                except Missing:
                    continue
                except DependencyError as error:
                    yield page, error

    def _fetch(self, address: str, most: int) -> Fetched:
        return self._fetcher.fetch(address, Deadline.after(STEP_SECONDS), most_bytes=most)


def _told(found: Fetched, own: str) -> tuple[str, list[str]] | None:
    """Where the site lies whose page ``own`` this is, by its own account, and where its translations lie: all
    end in a slash. None when the page does not call itself so, or is no HTML that can be parsed.
    """
    html = found.body.decode("utf-8", "replace")
    if is_too_deep(html):
        return None
    tree = LexborHTMLParser(html)
    here = _place_of(read_head(tree).url or found.url, own)
    links = (link.attributes.get("href") or "" for link in tree.css("link[rel=alternate][hreflang]"))
    others = (_place_of(resolve(found.url, link), own) for link in links)
    return (here, list(dict.fromkeys(filter(None, others)))) if here else None


def _place_of(address: str, own: str) -> str:
    """What stands before ``own`` in an address, with or without a slash at its end; empty where it does not
    end so: a site may list its pages in one way and name them in the other.
    """
    whole, tail = address.rstrip("/") + "/", f"/{own.strip('/')}/".replace("//", "/")
    return whole.removesuffix(tail) + "/" if whole.endswith(tail) else ""
