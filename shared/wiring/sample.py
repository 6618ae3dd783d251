"""What ``lectern run`` serves beside the functions: the page to ask on, and a folder of Markdown rendered."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from shared.errors import SourceError
from shared.ingestion.render import render_markdown
from shared.ingestion.sources import read_folder
from shared.retrieval.chunks import Page
from shared.settings import ROOT, Settings
from shared.wiring import local
from shared.wiring.ingestion import HANDBOOK_SOURCE

HANDBOOK = ROOT / "docs"
BASE_URL = "/docs"


@dataclass(frozen=True, slots=True)
class Site:
    """A folder of Markdown that is served under :data:`BASE_URL`; ``source`` names it in the ledger."""

    folder: Path
    source: str

    def settings(self, settings: Settings) -> Settings:
        """The settings with this site for ``POST /ingest``, unless they name one."""
        if settings.site_folder:
            return settings
        return replace(settings, site_folder=str(self.folder), site_base_url=BASE_URL)

    def wsgi(self) -> local.Wsgi:
        """The page at ``/`` and the rendered folder."""
        return local.site(self._page)

    def _page(self, path: str) -> local.Found | None:
        if path != BASE_URL and not path.startswith(BASE_URL + "/"):
            return None
        pages = list(read_folder(self.folder, BASE_URL))
        found = next((page for page in pages if page.url.rstrip("/") == path.rstrip("/")), None)
        return (self._html(found, pages).encode(), "text/html; charset=utf-8") if found else None

    def _html(self, page: Page, pages: Sequence[Page]) -> str:
        urls = {one.source: one.url for one in pages}

        def link(target: str) -> str:
            path, mark, anchor = target.partition("#")
            place = posixpath.normpath(posixpath.join(posixpath.dirname(page.source), path))
            return urls[place] + mark + anchor if place in urls else target

        text = (self.folder / page.source).read_text(encoding="utf-8")
        title, body = render_markdown(text, url=page.url, link=link)
        return _FRAME.format(title=escape(title), items=_items(page, pages), body=body)


def site(folder: Path | None) -> Site:
    """The site to serve: ``folder``, or Lectern's own handbook.

    Raises :class:`~shared.errors.SourceError` when the folder is not there.
    """
    if folder is None:
        return Site(HANDBOOK, HANDBOOK_SOURCE)
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder.", hint="Name a folder with Markdown files.")
    return Site(folder.resolve(), str(folder.resolve()))


def _items(here: Page, pages: Sequence[Page]) -> str:
    def item(page: Page) -> str:
        current = ' aria-current="page"' if page.url == here.url else ""
        return f'<li><a href="{escape(page.url)}"{current}>{escape(page.title)}</a></li>'

    return "".join(map(item, pages))


_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/reader.css">
</head>
<body>
<nav><a class="ask" href="/">Ask a question</a><ul>{items}</ul></nav>
<main>
{body}
</main>
</body>
</html>
"""
