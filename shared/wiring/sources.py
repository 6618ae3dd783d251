"""Opens the site that a place names: an address, a prefix of a bucket, or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from shared.ingestion.files import BucketFiles, FolderFiles
from shared.ingestion.site import Source
from shared.ingestion.sources import open_files
from shared.ingestion.website import WebSite
from shared.settings import Settings
from shared.wiring.buckets import small_store


@contextmanager
def open_source(settings: Settings, place: str, base_url: str = "") -> Iterator[Source]:
    """The site at ``place``: ``https://…`` (its address, or that of its sitemap), ``gs://bucket/prefix``,
    ``file:///folder`` or a folder. ``base_url`` is the address that its pages are published at, where that is
    not the one that they name; Markdown without one gets ``site_base_url``.

    Errors: :class:`~shared.errors.SourceError` for a place without pages; those of the bucket or of the web.
    """
    parts = urlsplit(place)
    if parts.scheme in ("http", "https"):
        yield from _website(settings, place, base_url)
        return
    with httpx.Client(trust_env=False) as client:
        if parts.scheme == "gs":
            store = small_store(f"gs://{parts.netloc}", settings, client)
            yield open_files(
                BucketFiles(store, parts.path, place), base_url, markdown_base_url=settings.site_base_url
            )
            return
        folder = Path(unquote(parts.path)) if parts.scheme == "file" else Path(place)
        yield open_files(FolderFiles(folder), base_url, markdown_base_url=settings.site_base_url)


def _website(settings: Settings, place: str, base_url: str) -> Iterator[Source]:
    from shared.adapters.web.fetcher import SafeFetcher

    fetcher = SafeFetcher(
        place.rpartition("/")[0] if place.endswith(".xml") else place,
        allowed_hosts=settings.site_allowed_hosts,
        connections=settings.site_connections,
        per_second=settings.site_requests_per_second,
    )
    try:
        yield WebSite(fetcher, place, base_url, workers=settings.site_connections)
    finally:
        fetcher.close()
