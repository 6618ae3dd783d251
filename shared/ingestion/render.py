"""A Markdown page as plain HTML, with the anchors that ingestion gives it: for reading on one machine."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from markdown_it.token import Token

from shared.ingestion.front_matter import split_front_matter
from shared.ingestion.markdown import EXPLICIT_ID, parser, read_markdown
from shared.ingestion.mdx import LABEL, strip_mdx

Link = Callable[[str], str]
"""Turns the target of a link in the source into the address it has when served."""


def render_markdown(text: str, *, url: str, link: Link) -> tuple[str, str]:
    """Title and HTML body of a page. Raw HTML in the source was taken out: nothing of it is run."""
    page = read_markdown(text, url=url)
    _, body = split_front_matter(text, url)
    tokens = parser().parse(strip_mdx(body.replace("\r\n", "\n")))
    anchors = iter([section.anchor for section in page.sections if section.anchor])
    titled = False
    for token in tokens:
        if token.type == "heading_open" and token.tag == "h1" and not titled:
            titled = True
        elif token.type == "heading_open":
            token.attrSet("id", next(anchors, ""))
        elif token.type == "inline":
            _tidy_inline(token, link)
    html = parser().renderer.render(tokens, parser().options, {})
    return page.title, html if titled else f"<h1>{escape(page.title)}</h1>\n{html}"


def _tidy_inline(token: Token, link: Link) -> None:
    for child in token.children or ():
        if child.type == "link_open":
            child.attrSet("href", link(str(child.attrGet("href") or "")))
        elif child.type == "text":
            child.content = EXPLICIT_ID.sub("", child.content.replace(LABEL, ""))
