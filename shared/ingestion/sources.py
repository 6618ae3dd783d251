"""Opens a folder, or a prefix of a bucket: Markdown and MDX, or what ``docusaurus build`` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import SourceError
from shared.ingestion import manifest
from shared.ingestion.built import BuiltSite
from shared.ingestion.files import LARGEST_FILE, Files, FolderFiles
from shared.ingestion.manifested import ManifestSite
from shared.ingestion.site import Progress, Refused, Source
from shared.ingestion.written import MarkdownSite, is_text
from shared.retrieval.chunks import Page

__all__ = ["LARGEST_FILE", "Folder", "Progress", "Refused", "open_files", "read_folder"]

_HINT = "Name a folder of Markdown files, or the folder that `docusaurus build` wrote."


def open_files(files: Files, base_url: str = "", *, markdown_base_url: str = "") -> Source:
    """The site that the files are. ``base_url`` is the address that they stand for.

    Markdown needs one: without it ``markdown_base_url`` is taken, else addresses begin at ``/``; a built site
    names its own. Raises :class:`~shared.errors.SourceError` for files without a page.
    """
    listed = files.list()
    names = {file.name for file in listed}
    has_pages = any(name.lower().endswith(".html") for name in names)
    texts = [file for file in listed if is_text(file)]
    if has_pages and manifest.FILE in names:
        return ManifestSite(files, listed, base_url)
    if has_pages and ("sitemap.xml" in names or not texts):
        return BuiltSite(files, listed, base_url)
    if texts:
        return MarkdownSite(files, listed, base_url or markdown_base_url)
    raise SourceError(f"{files.place} holds no page: no .md, .mdx or .html file was found.", hint=_HINT)


@dataclass(slots=True)
class Folder:
    """A folder's pages, for who wants all of them. Iterate; afterwards ``refused`` is complete."""

    source: Source
    progress: Progress | None = None
    refused: list[Refused] = field(default_factory=list)

    def __iter__(self) -> Iterator[Page]:
        self.refused.clear()
        for item in self.source.items({}, progress=self.progress or (lambda *_step: None)):
            if isinstance(item, Refused):
                self.refused.append(item)
            elif item.page is not None:
                yield item.page


def read_folder(
    root: Path, base_url: str = "", progress: Progress | None = None, *, markdown_base_url: str = ""
) -> Folder:
    """The folder's pages; see :func:`open_files`.

    Raises :class:`~shared.errors.SourceError` for a folder that is none, or holds no page.
    """
    return Folder(open_files(FolderFiles(root), base_url, markdown_base_url=markdown_base_url), progress)
