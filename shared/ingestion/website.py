"""A site over HTTPS: the pages of its manifest, else those of its sitemaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from shared.errors import DependencyError, Missing, SourceError
from shared.ingestion.addresses import join_address, resolve
from shared.ingestion.ahead import in_order
from shared.ingestion.digests import place_digest, place_of
from shared.ingestion.files import LARGEST_FILE
from shared.ingestion.html import read_html
from shared.ingestion.manifest import article_hash
from shared.ingestion.reading_files import decoded
from shared.ingestion.robots import is_hidden
from shared.ingestion.site import EVERYTHING, Item, Known, Progress, Refused, Share, unique
from shared.ingestion.validators import Validator, hash_of, validator_of
from shared.ingestion.weblists import Listed, list_pages
from shared.ports import Fetched, Fetcher
from shared.resilience.deadline import Deadline
from shared.retrieval.chunks import Page

STEP_SECONDS = 120.0
"""Longest time for one page, with its redirects, pauses and further tries."""
GIVE_UP = 20
"""So many pages in a row that fail for a reason that may pass mean that the site is down."""
_HTML = frozenset(("", "text/html", "application/xhtml+xml"))


@dataclass(frozen=True, slots=True)
class _Failed:
    """A page that was not read for a reason that may pass."""

    refused: Refused
    error: DependencyError


class WebSite:
    """Implements :class:`~shared.ingestion.site.Source`.

    ``place`` is the site's address, or that of its sitemap; ``base_url`` the address that its pages are
    cited by, where that is another one (a preview is read, the published site cited). ``workers`` pages are
    read at a time. A page whose hash the manifest tells, or that the site calls unchanged, is not sent again.

    :class:`~shared.errors.DependencyError` of the last page when the site stops answering.
    """

    def __init__(self, fetcher: Fetcher, place: str, base_url: str = "", *, workers: int = 4) -> None:
        self._fetcher = fetcher
        self._place = place
        self._base_url = base_url.rstrip("/")
        self._workers = workers

    @property
    def name(self) -> str:
        return self._base_url or self._fetcher.base.rstrip("/")

    def items(
        self, known: Known, *, share: Share = EVERYTHING, progress: Progress = lambda *_step: None
    ) -> Iterator[Item | Refused]:
        progress("listing", 0, 0)
        listed = list_pages(self._fetcher, self._place)
        mine = [one for one in listed if share(one.place)]
        return unique(self._reading(mine, known, progress))

    def _reading(self, listed: list[Listed], known: Known, progress: Progress) -> Iterator[Item | Refused]:
        failures = 0
        earlier = {place: url for url, hashed in known.items() if (place := place_of(hashed))}
        pages = in_order(lambda one: self._page(one, known, earlier), listed, self._workers)
        for done, found in enumerate(pages, 1):
            progress("reading", done, len(listed))
            failures = failures + 1 if isinstance(found, _Failed) else 0
            if isinstance(found, _Failed):
                if failures >= GIVE_UP:
                    raise found.error
                yield found.refused
            elif found is not None:
                yield found

    # ------------------------------------------------------------ one page

    def _page(self, one: Listed, known: Known, earlier: Mapping[str, str]) -> Item | Refused | _Failed | None:
        if one.problem:
            return Refused(one.place, one.problem)
        url = self._address(one.url)
        if one.hash and known.get(url) == one.hash:
            return Item(one.place, url, one.hash, None)
        if not one.hash:
            # A page is kept by the address that it gives itself; it may be listed by another one.
            url = earlier.get(place_digest(self._placed(one)), url)
        hashed = "" if one.hash else known.get(url, "")
        try:
            found = self._fetch(one.url, validator_of(hashed))
        except Missing as error:
            return Refused(one.place, f"{error.detail}: it is listed and not there")
        except DependencyError as error:
            refused = Refused(one.place, error.detail, url)
            return _Failed(refused, error) if error.retryable else refused
        if is_hidden(found.robots):  # also of a page that did not change: the server says it, not the page
            return None
        return self._read(one, url, found) if found.fresh else Item(one.place, url, hashed, None)

    def _fetch(self, url: str, validator: Validator) -> Fetched:
        """The page, or that it is what the validator was said of."""
        limit = Deadline.after(STEP_SECONDS)
        found = self._fetcher.fetch(
            url, limit, most_bytes=LARGEST_FILE, etag=validator.etag, modified=validator.modified
        )
        if found.fresh or validator.holds_for(found):
            return found
        return self._fetcher.fetch(url, limit, most_bytes=LARGEST_FILE)

    def _placed(self, one: Listed) -> str:
        """Where a page was found, for its hash: cited by another base, it has another address."""
        return f"{self.name} {one.place}"

    def _read(self, one: Listed, url: str, found: Fetched) -> Item | Refused | None:
        try:
            page = _parsed(one.place, found)
        except SourceError as error:
            return Refused(one.place, error.message, url)
        except RecursionError:
            return Refused(one.place, "it is nested too deeply", url)
        if page is None:
            return None
        if one.hash:
            # A page that is not what the manifest was made of is about to be replaced: it is read again.
            is_same = article_hash(found.body) == one.sha256
            return Item(one.place, url, one.hash if is_same else "", replace(page, url=url))
        canonical = resolve(found.url, page.url)
        own = self._address(canonical if canonical.startswith(self._fetcher.base) else found.url)
        return Item(one.place, own, hash_of(self._placed(one), found), replace(page, url=own))

    def _address(self, url: str) -> str:
        """The address that a page is cited by."""
        if not self._base_url:
            return url
        return join_address(self._base_url, url.removeprefix(self._fetcher.base))


def _parsed(place: str, found: Fetched) -> Page | None:
    """The page; None when it must not be found. Raises :class:`~shared.errors.SourceError`."""
    if found.content_type not in _HTML:
        raise SourceError(f"{place} is {found.content_type[:80]} and no HTML.", hint="Leave it out.")
    return read_html(decoded(found.body, place), url=found.url, source=place)
