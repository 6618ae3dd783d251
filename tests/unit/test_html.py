"""Reading what `docusaurus build` wrote. The markup follows Docusaurus 3: minified, attributes unquoted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import SourceError
from shared.ingestion.chunking import chunk_page
from shared.ingestion.html import read_html
from shared.retrieval.chunks import Block, Page

HEAD = (
    '<!doctype html><html lang=en class="docs-wrapper plugin-docs docs-version-2.0 docs-doc-page"><head>'
    '<meta charset=UTF-8><meta property=og:title content="Install | Acme"/>'
    "<meta name=docusaurus_locale content=en />"
    "<meta name=docusaurus_version content=2.0 /><meta name=docsearch:version content=2.0 />"
    '<meta name=description content="How to &amp; why"/>'
    "<link rel=canonical href=https://acme.dev/docs/install />"
)


def page_of(body: str, head: str = HEAD) -> Page:
    html = f'{head}</head><body><nav>Menu</nav><main><article><nav class="theme-doc-breadcrumbs">Home</nav>'
    html += f'<div class="theme-doc-markdown markdown"><header><h1>Install</h1></header>{body}</div>'
    page = read_html(
        f"{html}<footer>Edit this page</footer></article></main></body></html>", source="install.html"
    )
    assert page is not None
    return page


def blocks(body: str) -> list[Block]:
    return [block for section in page_of(body).sections for block in section.blocks]


def heading(level: int, anchor: str, text: str) -> str:
    link = f'<a href=#{anchor} class=hash-link aria-label="Direct link to {text}" translate=no>\u200b</a>'
    return f'<h{level} class="anchor" id={anchor}>{text}{link}</h{level}>'


def test_address_title_version_and_locale_come_from_the_page() -> None:
    """Citations would point at the build folder and answers mix versions and languages."""
    page = page_of("<p>Text.</p>")
    assert (page.url, page.title, page.version, page.locale, page.description) == (
        "https://acme.dev/docs/install",
        "Install",
        "2.0",
        "en",
        "How to & why",
    )


def test_sections_use_the_ids_that_are_on_the_page() -> None:
    """Links would not open the heading they name."""
    page = page_of(
        f"<p>Intro.{heading(2, 'my-id', 'Pick')}<p>A.{heading(3, 'x', 'On <code>arm</code>')}<p>B."
    )
    assert [(one.headings, one.anchor, one.blocks[0].text) for one in page.sections] == [
        ((), "", "Intro."),
        (("Pick",), "my-id", "A."),
        (("Pick", "On arm"), "x", "B."),
    ]


def test_every_tab_is_read_under_its_label() -> None:
    """Only the tab that happens to be open would be found."""
    body = (
        "<div class=tabs-container><ul role=tablist class=tabs><li role=tab>Linux<li role=tab>Windows</ul>"
        "<div><div role=tabpanel><p>Use apt.</p></div>"
        "<div role=tabpanel hidden><p>Use winget.</p></div></div></div>"
    )
    assert blocks(body) == [
        Block("label", "Linux"),
        Block("prose", "Use apt."),
        Block("label", "Windows"),
        Block("prose", "Use winget."),
    ]


TABS = (
    "<div class=tabs-container><ul role=tablist><li role=tab aria-selected={first}>One"
    "<li role=tab aria-selected={second}>Two</ul><div>{panels}</div></div>"
)


def test_tabs_inside_of_tabs_are_read_once_and_lazy_ones_under_their_label() -> None:
    """A command would be quoted as that of another system."""
    inner = TABS.format(first="true", second="false", panels="<p role=tabpanel>a<p role=tabpanel>b")
    outer = TABS.format(
        first="true", second="false", panels=f"<div role=tabpanel>{inner}</div><div role=tabpanel>c</div>"
    )
    assert [block.text for block in blocks(outer)] == ["One", "One", "a", "Two", "b", "Two", "c"]
    lazy = TABS.format(first="false", second="true", panels="<div role=tabpanel>b</div>")
    assert blocks(lazy) == [Block("label", "Two"), Block("prose", "b")]


def test_formulas_stand_once_as_they_were_written() -> None:
    """Formulas would stand twice, once without their structure."""
    formula = (
        "<span class=katex><span class=katex-mathml><math><mi>E</mi><annotation encoding=application/x-tex>"
        "E=mc^2</annotation></math></span><span class=katex-html aria-hidden=true>E=mc2</span></span>"
    )
    assert blocks(f"<p>Since {formula}.") == [Block("prose", "Since E=mc^2.")]


def test_a_label_stays_with_what_it_names() -> None:
    """A warning would end one passage and what it warns of begin the next."""
    body = (
        f"<p>{'word ' * 198}</p><div class=tabs-container><ul><li role=tab>Linux</ul>"
        f"<div role=tabpanel>{'text ' * 50}</div></div>"
    )
    first, second = chunk_page(page_of(body))
    assert first.text.endswith("word")
    assert second.text.startswith("Linux\n\ntext")


def test_listings_keep_lines_and_language_without_buttons() -> None:
    """Quoted commands would stand on one line, with "Copy" at the end."""
    body = (
        '<div class="language-bash codeBlockContainer theme-code-block">'
        "<div class=codeBlockTitle_x>terminal</div>"
        '<div class=codeBlockContent><pre class="prism-code language-bash"><code class=lines>'
        "<div class=token-line><span class=plain>cd acme</span><br/></div>"
        "<div class=token-line><span class=plain>  make &lt;all&gt;</span><br/></div></code></pre>"
        "<div class=buttons><button>Copy</button></div></div></div>"
    )
    assert blocks(body) == [Block("label", "terminal"), Block("code", "cd acme\n  make <all>", "bash")]


def test_admonitions_details_tables_and_lists() -> None:
    """What stands in boxes and tables could not be quoted."""
    body = (
        '<div class="theme-admonition theme-admonition-warning alert">'
        "<div class=admonitionHeading_x><span><svg></svg></span>Root needed</div>"
        "<div class=admonitionContent_x><p>Use <strong>root</strong>.</div></div>"
        '<div class="theme-admonition theme-admonition-tip alert">'
        "<div class=admonitionHeading_x>tip</div><div><p>Be calm.</div></div>"
        "<details><summary>More</summary><div><p>Hidden <em>word</em>.</div></details>"
        "<table><thead><tr><th>code<th>meaning<tbody><tr><td><code>0</code><td>fine</table>"
        "<ul><li>One<ul><li>deep</ul><li><p>Two</p></ul>"
        "<ol><li>Run:<pre><code class=language-sh>go</code></pre></ol>"
    )
    assert blocks(body) == [
        Block("label", "Warning: Root needed"),
        Block("prose", "Use root."),
        Block("label", "Tip"),
        Block("prose", "Be calm."),
        Block("label", "More"),
        Block("prose", "Hidden word."),
        Block("table", "code | meaning\n`0` | fine"),
        Block("prose", "- One\n  - deep\n- Two"),
        Block("prose", "Run:"),
        Block("code", "go", "sh"),
    ]


@pytest.mark.parametrize(
    "head",
    [
        HEAD + "<meta name=robots content=noindex, nofollow />",
        HEAD + "<meta name=robots content=none>",
        HEAD + "<meta name=ROBOTS content=NoIndex>",
        HEAD + "<meta name=robots content=index><meta name=robots content=noindex>",
        HEAD + "<meta name=lectern content=noindex>",
        HEAD.replace("docs-doc-page", "docs-tags-doc-list-page"),
        HEAD.replace("plugin-docs", "plugin-blog blog-list-page"),
        HEAD.replace("plugin-docs", "plugin-native"),
    ],
)
def test_unlisted_pages_and_lists_of_pages_are_left_out(head: str) -> None:
    """Answers would leak unlisted pages, or quote teasers of other pages."""
    assert read_html(f"{head}<body><main><article><p>Text.</article></main>") is None


@pytest.mark.parametrize("rules", ["max-image-preview:none", "max-image-preview: none, nofollow", "all"])
def test_rules_about_other_things_than_being_listed_hide_no_page(rules: str) -> None:
    """A page whose pictures must not be shown by search engines would be missing from the answers."""
    head = f"{HEAD}<meta name=robots content='{rules}'><meta name=googlebot content=noindex>"
    assert read_html(f"{head}<body><main><article><p>Text.</article></main>") is not None


@pytest.mark.parametrize(
    "canonical", ["javascript:alert(1)", "/docs/x", "http://", "https:docs", "", "data:,x"]
)
def test_an_address_that_is_none_is_not_taken(canonical: str) -> None:
    """A citation would be a script, or lead nowhere."""
    head = HEAD.replace("https://acme.dev/docs/install", canonical)
    page = read_html(f"{head}<article><p>Text.</article>", url="https://acme.dev/x")
    assert page is not None
    assert page.url == "https://acme.dev/x"


def test_a_blog_post_has_its_heading_outside_of_its_text() -> None:
    """Blog posts would be cited by their site's name."""
    html = HEAD.replace("plugin-docs", "blog-post-page plugin-blog") + (
        "<body><main><article><header><h1>We moved</h1><time>May 1</time></header>"
        "<div id=__blog-post-container class=markdown><p>To a new house.</div></article></main>"
    )
    page = read_html(html)
    assert page is not None
    assert page.title == "We moved"
    assert [block.text for block in page.sections[0].blocks] == ["To a new house."]


@pytest.mark.parametrize("html", ["", "\x00\x01PK", "<html><body><p>No article", "{}"])
def test_a_file_without_an_article_is_named(html: str) -> None:
    """The writer could not find the file that is missing from the answers."""
    with pytest.raises(SourceError, match=r"odd\.html"):
        read_html(html, url="https://acme.dev/odd", source="odd.html")


PARTS = [
    "<p>",
    "</p>",
    "<ul>",
    "<li>",
    "</ul>",
    "<pre>",
    "<code>",
    "</code>",
    "<table>",
    "<tr>",
    "<td>",
    "<div>",
]
PARTS += [
    "</div>",
    "<h2 id=a>",
    "</h2>",
    "<h3>",
    "<div class=tabs-container>",
    "<div role=tabpanel>",
    "<br>",
    "&lt;",
]
PARTS += [
    "<details>",
    "<summary>",
    "<!--",
    "-->",
    "<svg>",
    "<script>",
    "</article>",
    "<template>",
    "<a class=hash-link>",
]


def test_no_markup_breaks_the_reader(full: bool) -> None:
    """One broken page would end the ingestion of a site."""

    @settings(max_examples=20_000 if full else 200, deadline=None, derandomize=True, database=None)
    @given(st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=6)), max_size=80).map("".join))
    def check(body: str) -> None:
        page = page_of(body)
        chunks = chunk_page(page)
        assert chunks == chunk_page(page_of(body))
        assert len({chunk.id for chunk in chunks}) == len(chunks)

    check()


def test_deep_nesting_ends() -> None:
    """A generated page nested a thousand deep would take the process down."""
    for part in ("<div>", "<ul><li>", "<table><tr><td>", "<b>", "<blockquote>"):
        page_of(part * 1500 + "end")
