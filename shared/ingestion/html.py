"""Reads a page that Docusaurus built: right addresses, right heading ids, tabs and details evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

from shared.errors import SourceError
from shared.ingestion.nesting import is_too_deep
from shared.ingestion.outline import Outline, tidy, tidy_lines
from shared.ingestion.robots import OURS, is_hidden
from shared.retrieval.chunks import Block, Page

_ARTICLES = (
    ".theme-doc-markdown",
    "#__blog-post-container",
    "article .markdown",
    "article",
    "main .markdown",
    "main",
)
_WEB = re.compile(r"https?://[^/\s]+(?:/|$)", re.IGNORECASE)
_CARDS = "main [class*=generatedIndexPage]"
"""The list of a category's pages that Docusaurus makes where there is no page of its own."""
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_DROPPED = frozenset(
    ("nav", "button", "svg", "script", "style", "template", "footer", "iframe", "form", "time")
)
_BLOCKS = frozenset(
    (
        "p",
        "div",
        "section",
        "article",
        "header",
        "main",
        "blockquote",
        "figure",
        "details",
        "dl",
        "aside",
        "center",
        "dd",
        "li",
    )
)
_ADMONITION = re.compile(r"\btheme-admonition-([a-z]+)")
_DEEPEST = 60


@dataclass(frozen=True, slots=True)
class PageHead:
    """What the head of a built page says. ``listed`` is False for unlisted pages and lists of pages."""

    url: str
    title: str
    description: str
    version: str
    locale: str
    listed: bool


def read_html(html: str, *, url: str = "", source: str = "") -> Page | None:
    """The page of a built HTML file; None when it must not be found (its robots metas say so).

    Its address is the canonical one, or ``url`` where it names none. Raises
    :class:`~shared.errors.SourceError` for a file without an article or an address.
    """
    if is_too_deep(html):
        raise _wrong(source or url, "it is nested too deeply", "Make the page simpler.")
    tree = LexborHTMLParser(html)
    head = read_head(tree)
    if not head.listed or tree.css_first(_CARDS) is not None:
        return None
    article = next((found for rule in _ARTICLES if (found := tree.css_first(rule)) is not None), None)
    if article is None:
        raise _wrong(source or url, "it has no article", "Name the folder that `docusaurus build` wrote.")
    if not (url or head.url):
        raise _wrong(source, "it names no canonical address", "Give --base-url.")
    reader = _Reader()
    reader.read(article)
    return Page(
        url=head.url or url,
        title=_title(tree) or reader.outline.title or head.title or head.url or url,
        sections=reader.outline.sections(),
        version=head.version,
        locale=head.locale,
        description=head.description,
        source=source,
    )


def read_head(tree: LexborHTMLParser) -> PageHead:
    """Metas and canonical address of a page."""
    metas: dict[str, str] = {}
    robots: list[str] = []
    for node in tree.css("meta"):
        key = (node.attributes.get("name") or node.attributes.get("property") or "").lower()
        content = node.attributes.get("content") or ""
        if key in OURS:
            robots.append(content)
        elif key:
            metas.setdefault(key, content)
    canonical = tree.css_first("link[rel=canonical]")
    address = (canonical.attributes.get("href") if canonical is not None else None) or metas.get("og:url", "")
    language = tree.css_first("html")
    return PageHead(
        url=address if _WEB.match(address) else "",
        title=tidy(metas.get("og:title", "").rpartition(" | ")[0] or metas.get("og:title", "")),
        description=tidy(metas.get("description", "")),
        version=metas.get("docusaurus_version") or metas.get("docsearch:version", ""),
        locale=metas.get("docusaurus_locale")
        or (language.attributes.get("lang") if language is not None else None)
        or "",
        listed=not is_hidden("\n".join(robots)) and not _is_list(_classes(language)),
    )


def _is_list(kind: str) -> bool:
    """Whether the page only repeats others: lists of posts and tags, the archive, the page for a 404."""
    blog_list = "plugin-blog" in kind and "blog-post-page" not in kind
    return blog_list or "-list-page" in kind or "plugin-native" in kind


def _title(tree: LexborHTMLParser) -> str:
    """The article's own heading: blog posts have it outside of their text."""
    heading = tree.css_first("article h1, main h1")
    return tidy(heading.text()) if heading is not None else ""


class _Reader:
    """Walks the article once. Loose text gathers until a block interrupts it."""

    def __init__(self) -> None:
        self.outline = Outline()
        self._loose: list[str] = []

    def read(self, node: LexborNode, depth: int = 0) -> None:
        """Read what is inside of a node, ending in a whole block."""
        for child in node.iter(include_text=True):
            self._node(child, depth)
        self._flush()

    def _node(self, node: LexborNode, depth: int) -> None:
        tag = node.tag or ""
        if tag in _DROPPED or depth > _DEEPEST:
            return
        if tag in _HEADINGS:
            self._heading(node)
        elif tag == "pre":
            self._listing(node)
        elif tag in ("ul", "ol"):
            self._flush()
            self._list(node, depth)
        elif tag == "table":
            self._flush()
            self.outline.block(Block("table", "\n".join(_rows(node))))
        elif tag in ("summary", "dt"):
            self._label(_inline(node))
        elif tag in _BLOCKS:
            self._flush()
            self._container(node, depth)
        else:
            self._loose.append(_raw(node))

    def _container(self, node: LexborNode, depth: int) -> None:
        classes = _classes(node)
        if "theme-doc-toc" in classes or "theme-doc-breadcrumbs" in classes:
            return
        if "admonitionHeading" in classes:
            self._label(_admonition(node))
        elif "codeBlockTitle" in classes:
            self._label(_inline(node))
        elif "tabs-container" in classes:
            self._tabs(node, depth)
        else:
            self.read(node, depth + 1)

    def _tabs(self, node: LexborNode, depth: int) -> None:
        """Every panel under its label; the browser shows one of them, a question may be about any. Lazy tabs
        bring only the panel that is chosen at first.
        """
        parts = list(_tab_parts(node))
        tabs = [part for part in parts if part.attributes.get("role") == "tab"]
        panels = [part for part in parts if part.attributes.get("role") == "tabpanel"]
        if len(panels) < len(tabs):
            tabs = [tab for tab in tabs if tab.attributes.get("aria-selected") == "true"]
        labels = [_inline(tab).replace("\n", " ") for tab in tabs]
        for number, panel in enumerate(panels):
            self._label(labels[number] if number < len(labels) else "")
            self.read(panel, depth + 1)

    def _heading(self, node: LexborNode) -> None:
        self._flush()
        anchor = node.attributes.get("id") or ""
        self.outline.heading(
            int((node.tag or "h2")[1]), _inline(node).replace("`", "").replace("\n", " "), anchor
        )

    def _label(self, text: str) -> None:
        self._flush()
        self.outline.block(Block("label", text))

    def _listing(self, node: LexborNode) -> None:
        self._flush()
        self.outline.block(Block("code", _code(node), _language(node)))

    def _list(self, node: LexborNode, depth: int, indent: str = "") -> None:
        """Items as lines; an item that holds a listing or a table is read as blocks."""
        number = 0
        if depth > _DEEPEST:
            return
        for item in node.iter():
            if item.tag != "li":
                continue
            number += 1
            mark = f"{number}." if node.tag == "ol" else "-"
            if item.css_first("pre, table") is not None:
                self._flush_lines()
                self.read(item, depth + 1)
                continue
            self._loose.append(f"{indent}{mark} {_item(item)}\n")
            for nested in item.iter():
                if nested.tag in ("ul", "ol"):
                    self._list(nested, depth + 1, indent + "  ")
        if not indent:
            self._flush_lines()

    def _flush_lines(self) -> None:
        text = "".join(self._loose).rstrip()
        self._loose = []
        self.outline.block(Block("prose", text))

    def _flush(self) -> None:
        text = tidy_lines("".join(self._loose))
        self._loose = []
        self.outline.block(Block("prose", text))


def _admonition(heading: LexborNode) -> str:
    """``Warning: Root is needed``; the kind alone where the writer gave no title."""
    around = _ADMONITION.search(_classes(heading.parent))
    kind, title = around[1].capitalize() if around else "", _inline(heading).replace("\n", " ")
    if not kind or title.lower() == kind.lower():
        return kind or title
    return f"{kind}: {title}" if title else kind


def _tab_parts(group: LexborNode) -> Iterator[LexborNode]:
    """Tabs and panels of one group, in their order, but not those of groups inside of its panels."""
    waiting = [group]
    while waiting:
        node = waiting.pop()
        if node.attributes.get("role") in ("tab", "tabpanel"):
            yield node
        elif node is group or "tabs-container" not in _classes(node):
            waiting += reversed(list(node.iter()))


def _classes(node: LexborNode | None) -> str:
    return (node.attributes.get("class") or "") if node is not None else ""


def _inline(node: LexborNode) -> str:
    return tidy_lines(_raw(node))


def _item(node: LexborNode) -> str:
    """An item's own words, without the lists inside of it."""
    own = (_raw(child) for child in node.iter(include_text=True) if child.tag not in ("ul", "ol"))
    return tidy("".join(own).replace("\n", " "))


def _raw(node: LexborNode, depth: int = 0) -> str:
    """The text of a node as a browser shows it, line breaks of the source aside."""
    tag = node.tag or ""
    if tag == "-text":
        return (node.text_content or "").replace("\n", " ")
    if (
        tag in _DROPPED
        or tag.startswith(("-", "!", "_"))
        or "hash-link" in _classes(node)
        or depth > _DEEPEST
    ):
        return ""
    if tag == "br":
        return "\n"
    if tag == "span" and _classes(node) == "katex":
        return _formula(node)
    inner = "".join(_raw(child, depth + 1) for child in node.iter(include_text=True))
    if tag == "code" and inner.strip():
        ticks = "``" if "`" in inner else "`"
        return f"{ticks}{inner}{ticks}"
    return f"\n{inner}\n" if tag in ("p", "div", "li") else inner


def _formula(node: LexborNode) -> str:
    """KaTeX writes each formula twice, for eyes and for screen readers, and once as TeX: that is taken."""
    written = node.css_first("annotation")
    return written.text().strip() if written is not None else node.text()


def _rows(table: LexborNode) -> Iterator[str]:
    for row in table.css("tr"):
        cells = (_inline(cell).replace("\n", " ") for cell in row.iter() if cell.tag in ("td", "th"))
        yield " | ".join(cells)


def _code(pre: LexborNode) -> str:
    """Docusaurus makes each line an element; other highlighters keep line breaks."""
    lines = pre.css(".token-line")
    text = "\n".join(line.text().rstrip("\n") for line in lines) if lines else pre.text()
    return text.strip("\n")


def _language(pre: LexborNode) -> str:
    """The listing's language; Docusaurus writes `text` where the writer named none."""
    code = pre.css_first("code")
    names = _classes(pre).split() + (_classes(code).split() if code is not None else [])
    named = (name.removeprefix("language-") for name in names if name.startswith("language-"))
    return next((name for name in named if name != "text"), "")


def _wrong(source: str, problem: str, hint: str) -> SourceError:
    return SourceError(f"{source} cannot be read: {problem}.", hint=hint)
