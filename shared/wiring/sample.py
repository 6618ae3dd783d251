"""What ``lectern run`` serves beside the functions: the page to ask on, and a folder of Markdown rendered."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from pathlib import Path

from shared.errors import SourceError
from shared.ingestion.render import render_markdown
from shared.ingestion.sources import SourceFile, list_markdown
from shared.settings import ROOT, Settings
from shared.wiring import local, parts

HANDBOOK = ROOT / "docs"
HANDBOOK_BASE = "/handbook"
OWN_BASE = "/docs"
PAGE = ROOT / "shared" / "embedded" / "page"


@dataclass(frozen=True, slots=True)
class Site:
    """A folder of Markdown and the path that it is served under."""

    folder: Path
    base_url: str

    @property
    def is_handbook(self) -> bool:
        return self.base_url == HANDBOOK_BASE

    def settings(self, settings: Settings) -> Settings:
        """The settings with this site for ``POST /ingest``, unless they name one."""
        if settings.site_folder:
            return settings
        return replace(settings, site_folder=str(self.folder), site_base_url=self.base_url)

    def wsgi(self) -> local.Wsgi:
        """The page at ``/`` and the rendered folder."""
        return local.site(PAGE, self._page)

    def _page(self, path: str) -> tuple[bytes, str] | None:
        if path != self.base_url and not path.startswith(self.base_url + "/"):
            return None
        files = {one.url: one for one in list_markdown(self.folder, self.base_url)}
        found = files.get(path.rstrip("/") or path) or files.get(path)
        return (_html(found, tuple(files.values())).encode(), "text/html; charset=utf-8") if found else None


def site(folder: Path | None) -> Site:
    """The site to serve: ``folder``, or Lectern's own handbook.

    Raises :class:`~shared.errors.SourceError` when the folder is not there.
    """
    if folder is None:
        return Site(HANDBOOK, HANDBOOK_BASE)
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder.", hint="Name a folder with Markdown files.")
    return Site(folder.resolve(), OWN_BASE)


def models_line(settings: Settings) -> str:
    """What the settings mean for answers, in one line."""
    kind = parts.embedder_kind(settings)
    vectors = {
        "local": "meaning is searched with the local model",
        "gemini": f"meaning is searched with {settings.gemini_embedding_model}",
        "none": "words alone are searched (no embedding model is installed)",
    }[kind]
    if not settings.gemini_api_key:
        return f"No GEMINI_API_KEY: answers are quoted passages; {vectors}."
    return f"GEMINI_API_KEY is set; {vectors}."


def _html(file: SourceFile, files: Sequence[SourceFile]) -> str:
    urls = {one.path: one.url for one in files}

    def link(target: str) -> str:
        path, mark, anchor = target.partition("#")
        if not path.endswith((".md", ".mdx")) or "://" in path:
            return target
        joined = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), path))
        return urls.get(joined, target if joined not in urls else path) + mark + anchor

    title, body = render_markdown(file.text(), url=file.url, link=link)
    items = "".join(
        f'<li{" class=here" if one.url == file.url else ""}><a href="{escape(one.url)}">{escape(_title(one))}</a></li>'
        for one in files
    )
    return _FRAME.format(title=escape(title), items=items, body=body)


@lru_cache(maxsize=1024)
def _title(file: SourceFile) -> str:
    return render_markdown(file.text(), url=file.url, link=lambda target: target)[0]


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
