"""Reads a Markdown or MDX text as Docusaurus would show it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from shared.ingestion.front_matter import split_front_matter, text_of
from shared.ingestion.mdx import LABEL, strip_mdx
from shared.ingestion.outline import Outline, tidy, tidy_lines
from shared.ingestion.slug import Slugger
from shared.retrieval.chunks import Block, Page

EXPLICIT_ID = re.compile(r"\s*\{#([\w-]+)\}\s*$")
_CODE_TITLE = re.compile(r"""\btitle=(?:"([^"]*)"|'([^']*)')""")
_BREAKS = {"softbreak": " ", "hardbreak": "\n"}
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
    reader.read(_tree(parser().parse(strip_mdx(body.replace("\r\n", "\n")))))
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


class _Node:
    """A block. markdown-it's own tree has a node for each word that is emphasised, too, and takes a third of
    the time of reading a page.
    """

    __slots__ = ("children", "token", "type")

    def __init__(self, token: Token) -> None:
        self.token = token
        self.type = token.type.removesuffix("_open")
        self.children: list[_Node] = []


class _Reader:
    """Walks the syntax tree once. Lines of a list gather until something else interrupts them."""

    def __init__(self) -> None:
        self.outline = Outline()
        self._slugs = Slugger()
        self._lines: list[str] = []

    def read(self, nodes: Sequence[_Node]) -> None:
        for node in nodes:
            self._read_node(node)
            self._flush()

    def _read_node(self, node: _Node) -> None:
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

    def _heading(self, node: _Node) -> None:
        text = _inline(node).replace("\n", " ")
        explicit = EXPLICIT_ID.search(text)
        text = text[: explicit.start()] if explicit else text
        plain = text.replace("`", "")
        self.outline.heading(
            int(node.token.tag[1]), plain, explicit[1] if explicit else self._slugs.slug(plain)
        )

    def _listing(self, node: _Node) -> None:
        self._flush()
        language = node.token.info.split()[0] if node.token.info.split() else ""
        title = _CODE_TITLE.search(node.token.info)
        if title:
            self.outline.block(Block("label", tidy(title[1] or title[2] or "")))
        self.outline.block(Block("code", node.token.content.rstrip("\n"), language.strip("{}")))

    def _list(self, node: _Node, depth: int) -> None:
        first = int(node.token.attrs.get("start", 1)) if node.type == "ordered_list" else 0
        for number, item in enumerate(node.children, first):
            mark = f"{number}." if node.type == "ordered_list" else "-"
            self._item(item, "  " * depth + mark + " ", depth)

    def _item(self, item: _Node, lead: str, depth: int) -> None:
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


def _is_label(paragraph: _Node) -> bool:
    """Whether the paragraph is one that :func:`strip_mdx` made."""
    words = (token for node in paragraph.children for token in node.token.children or ())
    first = next((token for token in words if token.type == "text" and token.content), None)
    return first is not None and first.content.startswith(LABEL)


def _rows(table: _Node) -> Iterator[str]:
    for part in table.children:
        for row in part.children:
            yield " | ".join(_inline(cell).replace("\n", " ") for cell in row.children)


def _inline(node: _Node) -> str:
    """A block's text as the reader sees it; inline code keeps its marks, images have no text."""
    return tidy_lines("".join(_pieces(token) for one in node.children for token in one.token.children or ()))


def _pieces(token: Token) -> str:
    if token.type == "text":
        return token.content
    if token.type == "code_inline":
        ticks = "``" if "`" in token.content else "`"
        return f"{ticks}{token.content}{ticks}"
    return _BREAKS.get(token.type, "")


def _tree(tokens: Sequence[Token]) -> list[_Node]:
    """The blocks of a page, each with those inside of it; the text of a block is one token, `inline`."""
    levels: list[list[_Node]] = [[]]
    for token in tokens:
        if token.nesting < 0:
            levels.pop()
            continue
        node = _Node(token)
        levels[-1].append(node)
        if token.nesting > 0:
            levels.append(node.children)
    return levels[0]
