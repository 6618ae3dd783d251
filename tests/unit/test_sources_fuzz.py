"""Whole sites of broken files: each file is a page, hidden, or refused in a line that names it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import SourceError
from shared.ingestion.chunking import chunk_page
from shared.ingestion.files import LARGEST_FILE, File
from shared.ingestion.html import read_html
from shared.ingestion.manifest import FILE, article_hash
from shared.ingestion.markdown import read_markdown
from shared.ingestion.site import Item, Refused, Source
from shared.ingestion.sources import open_files

SECONDS_A_MB = 40.0
"""CPU seconds for a megabyte of the worst that a page may hold; of prose it takes less than one."""


class HeldFiles:
    """Files of a test, by name."""

    place = "held"
    readers = 1

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def list(self) -> list[File]:
        return [File(name, len(data)) for name, data in sorted(self._files.items())]

    def read(self, file: File, most: int = LARGEST_FILE) -> bytes:
        return self._files[file.name][: most + 1]


HTML = [
    "<article>",
    "</article>",
    "<h1>",
    "<h2 id=a>",
    "</h2>",
    "<p>",
    "<pre>",
    "<code class=language-x>",
    "<ul><li>",
]
HTML += [
    "<link rel=canonical href=https://a.dev/x>",
    "<link rel=canonical href='http://[bad/'>",
    "<meta name=robots ",
]
HTML += [
    "content=noindex>",
    "<div class=tabs-container>",
    "<div role=tab>",
    "<div role=tabpanel>",
    "<table><tr><td>",
]
HTML += [
    "<div class='theme-admonition-tip'><div class=admonitionHeading_x>",
    "<span class=katex>",
    "<summary>",
]
MARKS = [
    "---\n",
    "slug: /x\n",
    "id: [\n",
    "draft: true\n",
    "# A\n",
    "## B {#b}\n",
    ":::tip[x]\n",
    ":::\n",
    "```js title='a'\n",
]
MARKS += [
    "<Tabs>\n",
    "<TabItem label='a'>",
    "<summary>",
    "import a from 'b'\n",
    "{/* ",
    "<!--",
    "| a |\n|---|\n",
    "- a\n  - b\n",
]
NAMES = st.sampled_from(["a", "b/a", "b/index", "c/README", "2024-01-01-x", "_x", "01-a/02-b"])


def texts(parts: list[str]) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(parts) | st.text(max_size=5), max_size=20).map(
        lambda found: "".join(found).encode("utf-8", "surrogatepass")
    )


BYTES = st.binary(max_size=6)
PAGES = st.dictionaries(NAMES, texts(HTML) | BYTES, min_size=1, max_size=4)
MARKDOWN = st.dictionaries(NAMES, texts(MARKS) | BYTES, min_size=1, max_size=4)
BASES = st.sampled_from(["", "https://a.dev", "https://a.dev/base/", "/docs"])


def check_site(files: dict[str, bytes], base_url: str) -> None:
    with suppress(SourceError):
        check_items(files, open_files(HeldFiles(files), base_url))


def check_items(files: dict[str, bytes], source: Source) -> None:
    found = list(source.items({}))
    again = list(source.items({one.url: one.hash for one in found if isinstance(one, Item)}))
    urls = [one.url for one in found if isinstance(one, Item)]
    assert len(set(urls)) == len(urls)
    for one in found:
        if isinstance(one, Refused):
            assert one.source.partition(",")[0] in files
            assert one.reason
        else:
            assert one.page is not None
            assert one.page.url == one.url
            assert chunk_page(one.page)
    assert [one.url for one in again if isinstance(one, Item)] == urls
    assert all(one.page is None or not one.hash for one in again if isinstance(one, Item))


def test_no_built_site_breaks_the_run(full: bool) -> None:
    """One broken page, or a manifest that does not fit, would end the ingestion of a site."""

    @settings(max_examples=10_000 if full else 300, deadline=None, derandomize=True, database=None)
    @given(PAGES, st.sampled_from(["none", "true", "false", "sitemap"]), BASES)
    def check(pages: dict[str, bytes], listing: str, base_url: str) -> None:
        files = {f"{name}.html": data for name, data in pages.items()}
        if listing == "sitemap":
            files["sitemap.xml"] = b"<urlset><url><loc>https://a.dev/x</loc></url></urlset>"
        elif listing != "none":
            listed = [
                {
                    "permalink": f"/{name}",
                    "html": f"{name}.html",
                    "sha256": article_hash(data if listing == "true" else b""),
                }
                for name, data in pages.items()
            ]
            head = {"lectern_manifest": 1, "site": "https://a.dev", "base_url": "/", "locale": "en"}
            files[FILE] = json.dumps({**head, "pages": listed}).encode()
        check_site(files, base_url)

    check()


def test_no_folder_of_markdown_breaks_the_run(full: bool) -> None:
    """One broken text would end the ingestion of a site."""

    @settings(max_examples=10_000 if full else 300, deadline=None, derandomize=True, database=None)
    @given(MARKDOWN, BASES)
    def check(pages: dict[str, bytes], base_url: str) -> None:
        check_site({f"{name}.mdx": data for name, data in pages.items()}, base_url)

    check()


def read_built(text: str) -> None:
    page = read_html(f"<link rel=canonical href=https://a.dev/x><article>{text}", source="x.html")
    assert page is not None
    chunk_page(page)


def read_written(text: str) -> None:
    chunk_page(read_markdown(text, url="https://a.dev/x"))


WORST = [
    (read_built, part)
    for part in (
        "<div>",
        "<ul><li>",
        "<li><ul>",
        "<div class=tabs-container><ul><li role=tab>a</ul><div role=tabpanel>",
        "<li role=tab>a",
        "<h2>",
        "<h2>a</h2>",
        "<b>",
        "<p>a",
        "<table><tr><td>",
        "<details><summary>a",
        "<div class=admonitionHeading_x>a</div>",
        "<pre><code>a",
        "<code>`",
        "<span class=katex>",
        "<!--",
        "<div><!--</div>-->",
        "<div a='</div>'>",
        "<dt><li>",
        "<path>",
        "<p><b></p>",
        "<div><span></div></span><dt><li></div>",
        "<svg><title></title></svg>",
        "<script><!--</script>",
        "<![CDATA[>",
        '<a b="',
        "&amp;",
        "a ",
    )
] + [
    (read_written, part)
    for part in (
        "> ",
        "- ",
        "[",
        "![](",
        "*a_",
        "`",
        "{",
        "<",
        "<a ",
        "<TabItem label='a'>\n\n",
        "<summary>",
        "<!--",
        "{/*",
        ":::tip\n",
        "```\n",
        "|a",
        "# a\n\n",
        "import a\n",
        "export const a = {\n",
        "a ",
        "~~~\n",
        "\\",
    )
]


@pytest.mark.parametrize(("read", "part"), WORST, ids=lambda one: getattr(one, "__name__", repr(one)))
def test_no_page_takes_for_ever(read: Callable[[str], None], part: str, full: bool) -> None:
    """A page of one repeated mark would hold a run: its time must grow with its size, not with the square."""
    size = 1_000_000 if full else 40_000
    started = time.process_time()
    with suppress(SourceError, RecursionError):
        read(part * (size // len(part)))
    assert time.process_time() - started < SECONDS_A_MB * size / 1_000_000 + 0.5
