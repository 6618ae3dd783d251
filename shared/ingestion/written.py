"""A folder of Markdown and MDX: the addresses are those that Docusaurus would give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from shared.ingestion.addresses import page_address, without_number
from shared.ingestion.files import File, Files
from shared.ingestion.front_matter import is_true, split_front_matter
from shared.ingestion.markdown import read_markdown
from shared.ingestion.reading_files import FilePages
from shared.ingestion.site import EVERYTHING, Item, Known, Progress, Refused, Share, unique
from shared.retrieval.chunks import Page

_ENDINGS = frozenset((".md", ".mdx", ".markdown"))


def is_text(file: File) -> bool:
    """Whether it is a page's text; Docusaurus makes no page of what begins with an underscore."""
    path = PurePosixPath(file.name)
    return path.suffix.lower() in _ENDINGS and not any(part.startswith("_") for part in path.parts)


class MarkdownSite:
    """Implements :class:`~shared.ingestion.site.Source` for Markdown and MDX. ``base_url`` is the address
    that the folder stands for.
    """

    def __init__(self, files: Files, listed: Sequence[File], base_url: str = "") -> None:
        self._files = files
        self._texts = [file for file in listed if is_text(file)]
        self._base_url = base_url

    @property
    def name(self) -> str:
        return self._base_url or self._files.place

    def items(
        self, known: Known, *, share: Share = EVERYTHING, progress: Progress = lambda *_step: None
    ) -> Iterator[Item | Refused]:
        reader = FilePages(self._files, ("markdown", self._base_url), self._page)
        return unique(reader.items(self._texts, known, share, progress))

    def _page(self, text: str, source: str) -> Page | None:
        head, _ = split_front_matter(text, source)
        if is_true(head, "draft") or is_true(head, "unlisted"):
            return None
        file = PurePosixPath(source)
        url = page_address(file, head, self._base_url)
        return read_markdown(text, url=url, fallback_title=_title_of(file), source=source)


def _title_of(file: PurePosixPath) -> str:
    """``02-how-to.md`` is ``how to``; an index is named after its folder."""
    name = file.parent.name if file.stem.lower() in ("index", "readme") and file.parent.name else file.stem
    return without_number(name).replace("-", " ").replace("_", " ").strip()
