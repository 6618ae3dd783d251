"""Reads a Markdown or MDX text as Docusaurus would show it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from shared.ingestion.front_matter import split_front_matter, text_of
from shared.ingestion.mdx import LABEL, strip_mdx
from shared.ingestion.outline import Outline, tidy, tidy_lines
from shared.ingestion.slug import Slugger
from shared.retrieval.chunks import Block, Page

EXPLICIT_ID = re.compile(r"\s*\{#([\w-]+)\}\s*$")
_CODE_TITLE = re.compile(r"""\btitle=(?:"([^"]*)"|'([^']*)')""")
_LISTS = ("bullet_list", "ordered_list")


def read_markdown(
    text: str,
    *,
    url: str,
    title: str = "",
    fallback_title: str = "",
    source: str = "",
    version: str = "",
    locale: str = "",
) -> Page:
    """The page of a text.

    Its title is ``title`` if given, else the front matter's, else that of the first heading of level 1,
    else ``fallback_title``.
    Raises :class:`~shared.errors.SourceError` when the front matter cannot be read.
    """
    head, body = split_front_matter(text, source or url)
    reader = _Reader()
    reader.read(SyntaxTreeNode(parser().parse(strip_mdx(body.replace("\r\n", "\n")))).children)
    return Page(
        url=url,
        title=title or tidy(text_of(head, "title")) or reader.outline.title or fallback_title or url,
        sections=reader.outline.sections(),
        version=version,
        locale=locale,
        description=tidy(text_of(head, "description")),
        source=source,
    )


@lru_cache(maxsize=1)
def parser() -> MarkdownIt:
    """CommonMark with tables. Indented listings are off, as in MDX; tags were taken out before."""
    rules = MarkdownIt("commonmark", {"html": False})
    return rules.enable(["table", "strikethrough"]).disable(["code"])


class _Reader:
    """Walks the syntax tree once. Lines of a list gather until something else interrupts them."""

    def __init__(self) -> None:
        self.outline = Outline()
        self._slugs = Slugger()
        self._lines: list[str] = []

    def read(self, nodes: Sequence[SyntaxTreeNode]) -> None:
        for node in nodes:
            self._read_node(node)
            self._flush()

    def _read_node(self, node: SyntaxTreeNode) -> None:
        if node.type == "heading":
            self._heading(node)
        elif node.type == "fence":
            self._listing(node)
        elif node.type == "table":
            self.outline.block(Block("table", "\n".join(_rows(node))))
        elif node.type in _LISTS:
            self._list(node, 0)
        elif node.type == "paragraph":
            self.outline.block(Block("label" if _is_label(node) else "prose", _inline(node)))
        else:
            self.read(node.children)

    def _heading(self, node: SyntaxTreeNode) -> None:
        text = _inline(node).replace("\n", " ")
        explicit = EXPLICIT_ID.search(text)
        text = text[: explicit.start()] if explicit else text
        plain = text.replace("`", "")
        self.outline.heading(int(node.tag[1]), plain, explicit[1] if explicit else self._slugs.slug(plain))

    def _listing(self, node: SyntaxTreeNode) -> None:
        self._flush()
        language = node.info.split()[0] if node.info.split() else ""
        title = _CODE_TITLE.search(node.info)
        if title:
            self.outline.block(Block("label", tidy(title[1] or title[2] or "")))
        self.outline.block(Block("code", node.content.rstrip("\n"), language.strip("{}")))

    def _list(self, node: SyntaxTreeNode, depth: int) -> None:
        first = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else 0
        for number, item in enumerate(node.children, first):
            mark = f"{number}." if node.type == "ordered_list" else "-"
            self._item(item, "  " * depth + mark + " ", depth)

    def _item(self, item: SyntaxTreeNode, lead: str, depth: int) -> None:
        for child in item.children:
            if child.type in _LISTS:
                self._list(child, depth + 1)
            elif child.type == "paragraph" and not _is_label(child):
                self._lines.append(lead + _inline(child).replace("\n", " "))
                lead = " " * len(lead)
            else:
                self._flush()
                self._read_node(child)

    def _flush(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            self.outline.block(Block("prose", "\n".join(lines)))


def _is_label(paragraph: SyntaxTreeNode) -> bool:
    """Whether the paragraph is one that :func:`strip_mdx` made."""
    first = next((node for node in paragraph.walk() if node.type == "text"), None)
    return first is not None and first.content.startswith(LABEL)


def _rows(table: SyntaxTreeNode) -> Iterator[str]:
    for part in table.children:
        for row in part.children:
            yield " | ".join(_inline(cell).replace("\n", " ") for cell in row.children)


def _inline(node: SyntaxTreeNode) -> str:
    """A block's text as the reader sees it; inline code keeps its marks, images have no text."""
    return tidy_lines("".join(_pieces(node)))


def _pieces(node: SyntaxTreeNode) -> Iterator[str]:
    if node.type == "text":
        yield node.content
    elif node.type == "code_inline":
        ticks = "``" if "`" in node.content else "`"
        yield f"{ticks}{node.content}{ticks}"
    elif node.type == "softbreak":
        yield " "
    elif node.type == "hardbreak":
        yield "\n"
    elif node.type != "image":
        for child in node.children:
            yield from _pieces(child)
