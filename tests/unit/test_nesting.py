"""How deep a page nests is told before it is parsed: never less than the parser makes of it."""

from __future__ import annotations

import random

import pytest
from selectolax.lexbor import LexborHTMLParser

from shared.ingestion.nesting import DEEPEST, depth_of, is_too_deep

BODY_AND_LEAF = 2
"""Elements on a way down that are not counted: the body, and one at the end that is closed by itself."""
EVERYTHING = 10**9
TAGS = [
    "div",
    "p",
    "span",
    "b",
    "i",
    "a",
    "font",
    "code",
    "li",
    "ul",
    "ol",
    "dl",
    "dt",
    "dd",
    "table",
    "tr",
    "td",
    "th",
    "tbody",
    "thead",
    "caption",
    "colgroup",
    "col",
    "select",
    "option",
    "optgroup",
    "ruby",
    "rp",
    "rt",
    "button",
    "form",
    "input",
    "h1",
    "h2",
    "svg",
    "math",
    "path",
    "g",
    "foreignObject",
    "desc",
    "title",
    "mi",
    "mtext",
    "annotation-xml",
    "template",
    "script",
    "style",
    "textarea",
    "iframe",
    "noscript",
    "frameset",
    "frame",
    "object",
    "marquee",
    "nobr",
    "br",
    "hr",
    "img",
    "image",
    "pre",
    "section",
    "details",
    "summary",
    "blockquote",
    "main",
    "body",
    "html",
    "head",
    "link",
    "xmp",
    "plaintext",
    "custom-x",
    "trac\u212a",
]
REST = ["", "", "", " a=1", " a='>'", ' b="<!--"', " c=d/", "/", " x", ' =">', ' a = "</div>"']
OTHER = ["<!--", "-->", "<!-- x -->", "<!-->", "--!>", "<![CDATA[", "]]>", "<!x>", "</>", "</3>", "text", "<"]
OTHER += ['"', "'", ">", "&amp;"]


def real_depth(html: str) -> int:
    """Elements inside of each other, but for `html`, in what the parser made."""
    node = LexborHTMLParser(html).root
    depth = deepest = 0
    while node is not None:
        if not (node.tag or "-").startswith(("-", "_", "!")):
            deepest = max(deepest, depth)
        if node.child is not None:
            node, depth = node.child, depth + 1
            continue
        while node is not None and depth and node.next is None:
            node, depth = node.parent, depth - 1
        node = node.next if node is not None and depth else None
    return deepest


def mark(chance: random.Random, names: list[str]) -> str:
    """A tag of one of these names, or what stands between tags."""
    kind = chance.random()
    if kind < 0.52:
        return f"<{chance.choice(names)}{chance.choice(REST)}>"
    return f"</{chance.choice(names)}>" if kind < 0.88 else chance.choice(OTHER)


def soup(chance: random.Random) -> str:
    """A few marks, some of them repeated, so that what opens more than it closes gets deep."""
    names = chance.sample(TAGS, chance.randint(1, 7))
    before, unit, after = (
        "".join(mark(chance, names) for _ in range(chance.randint(least, most)))
        for least, most in ((0, 3), (1, 9), (0, 3))
    )
    return chance.choice(["", "<!doctype html>"]) + before + unit * chance.choice([1, 3, 30]) + after


def test_no_page_is_deeper_than_was_told(full: bool) -> None:
    """A page that looks flat would hold a run for hours: what is repeated in it opens more than it closes."""
    chance = random.Random(5)
    for _ in range(200_000 if full else 2_000):
        html = soup(chance)
        told = depth_of(html, EVERYTHING)
        assert told is None or real_depth(html) <= told + BODY_AND_LEAF, html


@pytest.mark.parametrize(
    "unit",
    [
        "<div>",
        "<div><!--</div>-->",
        "<div a='</div>'>",
        '<div a = "</div>">',
        "<div><script></div></script>",
        "<div><title></div></title>",
        "<div><!x </div>",
        "<dt><li>",
        "<rt>",
        "<optgroup>",
        "<path>",
        "<svg><desc><p></desc></svg>",
        "<svg><link>",
        "<table><td>",
        "<div><marquee></div>",
        "<select><title></select><div></title>",
        "<div><span></div></span><dt><li></div>",
        "</dd><dd><rt><rt><rt><dd></dd><rt>",
        "<li><div><li></div><dt>",
        "<h3><div><h1><h2></h2></h1><dt><li></div>",
        "<table><table></table><dt><li></table>",
        "<button><div><button></button><dt><li></div>",
        "<form><marquee></form></marquee></form>",
        "<main><ruby></main><rt><ruby><rt><rt>",
        "<trac\u212a>",
    ],
)
def test_what_nests_is_seen(unit: str) -> None:
    """Ends that a parser does not take for ends would be counted off: the page is parsed for hours."""
    html = unit * 40
    told = depth_of(html, EVERYTHING)
    assert told is None or told + BODY_AND_LEAF >= real_depth(html) > 35
    assert is_too_deep(unit * 10_000)


@pytest.mark.parametrize(
    "html",
    [
        "<p>a" * 9000,
        "<!doctype html>" + "<p>a<table><tr><td>b<td>c<tr><td>d</table>" * 3000,
        "<table><thead><tr><th>a<tbody>" + "<tr><td><p>b<td><ul><li>c</ul>" * 3000 + "</table>",
        "<ul>" + "<li>a<p>b<ol><li>c<li>d</ol>" * 3000 + "</ul>",
        "<dl>" + "<dt>a<dd>b<p>c" * 3000 + "</dl>",
        "<div><p>a</div><details><summary>a</summary><p>b</details>" * 3000,
        "<pre><code>" + "<span class=token-line><span>a</span><br></span>" * 3000 + "</code></pre>",
        "<svg viewBox='0 0 1 1'><title>a</title><g><path d=M0 /><path d='M0'/></g></svg><hr>" * 3000,
        "<math><mrow><mi>x</mi><mo>=</mo><mspace width=1 /></mrow></math>" * 3000,
        "<svg><style><![CDATA[a>b{}]]></style></svg>" * 3000,
        "<script>if (a<b) document.write('<div><div>')</script><style>a<b</style>" * 3000,
        "<ruby>a<rp>(<rt>b<rp>)</ruby>" * 3000,
        "<textarea><div><!-- </textarea><!-- <div> --><input><img src=a>" * 3000,
        "<a href='x>y'>a</a>" * 3000,
    ],
    ids=lambda html: html[:30],
)
def test_long_pages_whose_ends_are_left_out_are_read(html: str) -> None:
    """A long table or list of a minified page would be refused as nested too deeply."""
    assert real_depth(html) < 20
    assert not is_too_deep(html)


def test_the_limit_is_where_it_is_said() -> None:
    """A page would be refused that is no deeper than others, or one let through that is."""
    flat = "<p>a</p>" * 3000
    assert not is_too_deep(flat + "<div>" * DEEPEST)
    assert is_too_deep(flat + "<div>" * (DEEPEST + 1))


def test_marks_that_are_opened_again_in_each_paragraph_are_counted() -> None:
    """A page of 20 kB would take a gigabyte: 900 unclosed marks, made again in each of 3,000 paragraphs."""
    marks = "".join(f"<b a={number}>" for number in range(900))
    assert is_too_deep(f"<p>{marks}</p>" + "<p>x" * 3000)
    assert not is_too_deep("<p><b>a</p><p>x" * 200)
