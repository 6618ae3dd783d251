"""Reads a folder: Markdown and MDX, or what ``docusaurus build`` wrote."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from shared.errors import SourceError
from shared.ingestion.addresses import join_address, page_address, without_number
from shared.ingestion.front_matter import is_true, split_front_matter
from shared.ingestion.html import read_html
from shared.ingestion.markdown import read_markdown
from shared.retrieval.chunks import Page

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""

LARGEST_FILE = 5 * 2**20
"""Bytes; a larger file is refused, because no reader's page is so long."""

_MARKDOWN = frozenset((".md", ".mdx", ".markdown"))
_SKIPPED = frozenset(("node_modules", "__pycache__"))
_LOCATION = re.compile(r"<loc>\s*([^<]+?)\s*</loc>")
_HINT = "Name a folder of Markdown files, or the folder that `docusaurus build` wrote."


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that could not be read, and why. The others go on."""

    source: str
    reason: str


@dataclass(slots=True)
class Folder:
    """A folder to read. Iterate once; afterwards ``refused`` is complete.

    ``files`` are the candidates; drafts, unlisted pages and partials among them give no page.
    """

    root: Path
    files: tuple[Path, ...]
    base_url: str
    built: bool
    progress: Progress | None = None
    refused: list[Refused] = field(default_factory=list)

    def __iter__(self) -> Iterator[Page]:
        """Pages in the order of their files; of two with one address the second is refused."""
        listed = _sitemap(self.root) if self.built else frozenset()
        seen: dict[str, str] = {}
        for done, path in enumerate(self.files, 1):
            page = self._page(path, listed)
            if page is not None and page.url in seen:
                self._refuse(path, f"{seen[page.url]} has the same address, {page.url}")
            elif page is not None:
                seen[page.url] = page.source
                yield page
            if self.progress:
                self.progress("reading", done, len(self.files))

    def _page(self, path: Path, listed: frozenset[str]) -> Page | None:
        source = path.relative_to(self.root).as_posix()
        try:
            text = _read(path, source)
            return self._html(text, source, listed) if self.built else self._markdown(text, source)
        except SourceError as error:
            self._refuse(path, error.message)
        except RecursionError:
            self._refuse(path, "it is nested too deeply")
        return None

    def _markdown(self, text: str, source: str) -> Page | None:
        head, _ = split_front_matter(text, source)
        if is_true(head, "draft") or is_true(head, "unlisted"):
            return None
        file = PurePosixPath(source)
        url = page_address(file, head, self.base_url)
        return read_markdown(text, url=url, fallback_title=_title_of(file), source=source)

    def _html(self, text: str, source: str, listed: frozenset[str]) -> Page | None:
        place = re.sub(r"(?:(?:^|/)index)?\.html$", "", source)
        page = read_html(text, url=join_address(self.base_url, place), source=source)
        if page is None or (listed and _path_of(page.url) not in listed):
            return None
        if not self.base_url:
            return page
        return replace(page, url=join_address(self.base_url, place + "/" * page.url.endswith("/")))

    def _refuse(self, path: Path, reason: str) -> None:
        self.refused.append(Refused(path.relative_to(self.root).as_posix(), reason))


def read_folder(root: Path, base_url: str = "", progress: Progress | None = None) -> Folder:
    """The folder's pages. ``base_url`` is the address that the folder stands for.

    It is needed for Markdown (without it addresses begin at ``/``); a built site names its own. Raises
    :class:`~shared.errors.SourceError` for a folder that is none, or holds no page.
    """
    if not root.is_dir():
        raise SourceError(f"{root} is not a folder.", hint=_HINT)
    files = sorted(_files(root))
    pages = [path for path in files if path.suffix.lower() == ".html"]
    texts = [path for path in files if path.suffix.lower() in _MARKDOWN and not _is_partial(path, root)]
    built = bool(pages) and ((root / "sitemap.xml").is_file() or not texts)
    if not pages and not texts:
        raise SourceError(f"{root} holds no page: no .md, .mdx or .html file was found.", hint=_HINT)
    return Folder(root, tuple(pages if built else texts), base_url, built, progress)


def _files(root: Path) -> Iterator[Path]:
    """Regular files below ``root``; links and hidden folders are not followed."""
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _SKIPPED]
        for name in names:
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path


def _is_partial(path: Path, root: Path) -> bool:
    """Docusaurus makes no page of what begins with an underscore."""
    return any(part.startswith("_") for part in path.relative_to(root).parts)


def _read(path: Path, source: str) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise SourceError(f"{source} is larger than {LARGEST_FILE // 2**20} MiB.", hint="Split the page.")
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"{source} is not UTF-8 (byte {error.start}).", hint="Save it as UTF-8.") from error
    except OSError as error:
        raise SourceError(f"{source} cannot be read: {error.strerror}.", hint="Check the file.") from error


def _title_of(file: PurePosixPath) -> str:
    """``02-how-to.md`` is ``how to``; an index is named after its folder."""
    name = file.parent.name if file.stem.lower() in ("index", "readme") and file.parent.name else file.stem
    return without_number(name).replace("-", " ").replace("_", " ").strip()


def _sitemap(root: Path) -> frozenset[str]:
    """Paths of the pages that the site's sitemaps list, one sitemap a locale; empty without sitemaps."""
    found: set[str] = set()
    for path in sorted(root.rglob("sitemap.xml")):
        if path.stat().st_size <= LARGEST_FILE:
            text = path.read_text("utf-8", "replace")
            found.update(_path_of(html.unescape(place)) for place in _LOCATION.findall(text))
    return frozenset(found)


def _path_of(address: str) -> str:
    return unquote(urlsplit(address).path).rstrip("/")
