"""Reading Markdown and MDX as Docusaurus would show it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import SourceError
from shared.ingestion.chunking import ChunkSize, chunk_page
from shared.ingestion.markdown import read_markdown
from shared.ingestion.slug import Slugger
from shared.retrieval.chunks import Block, Chunk, Page, Section, key_of_page, page_key

URL = "https://docs.example/guide"


def read(text: str) -> Page:
    return read_markdown(text, url=URL, fallback_title="Fallback", source="guide.md")


def blocks(text: str) -> list[Block]:
    return [block for section in read(text).sections for block in section.blocks]


def texts(text: str) -> list[str]:
    return [block.text for block in blocks(text)]


def test_sections_carry_their_path_and_the_anchor_that_docusaurus_gives() -> None:
    """A citation would open the page but not the heading."""
    page = read(
        "# Guide\nIntro.\n## Set up\nA.\n### On `Linux`!\nB.\n## Set up\nC.\n## Über uns {#about}\nD.\n"
    )
    assert page.title == "Guide"
    assert [(one.headings, one.anchor) for one in page.sections] == [
        ((), ""),
        (("Set up",), "set-up"),
        (("Set up", "On Linux!"), "on-linux"),
        (("Set up",), "set-up-1"),
        (("Über uns",), "about"),
    ]


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("What's new in v2.0?", "whats-new-in-v20"),
        ("`max_retries` & more", "max_retries--more"),
        ("日本語 の見出し", "日本語-の見出し"),
        ("A -- B", "a----b"),
        ("Émigré №5 ½", "émigré-5-"),
    ],
)
def test_anchor_rule(heading: str, anchor: str) -> None:
    """Links to headings with punctuation, identifiers or other scripts would lead nowhere."""
    assert read(f"## {heading}\nText.\n").sections[0].anchor == anchor


def test_new_form_of_heading_ids() -> None:
    """Sites on Docusaurus's next syntax would get links to ids that are not on the page."""
    assert read("## Install {/* #setup */}\nText.\n").sections[0] == Section(
        ("Install",), "setup", (Block("prose", "Text."),)
    )


def test_title_comes_from_front_matter_then_heading_then_file() -> None:
    """Citations would show file names in place of the writer's titles."""
    assert read("---\ntitle: 1.10\n---\n# Other\n").title == "1.10"
    assert read("# Heading with `code`\n").title == "Heading with code"
    assert read("Just text.\n").title == "Fallback"


@pytest.mark.parametrize(
    "head", ["a: [1", "- a\n- b", "a: b: c", "? {a: 1}\n: 2\n: 3", "&a [*a]", "a: " + "[" * 20_000]
)
def test_broken_front_matter_names_the_file(head: str) -> None:
    """One bad page would stop the whole ingestion without saying which it was."""
    with pytest.raises(SourceError, match=r"guide\.md"):
        read(f"---\n{head}\n---\nText.\n")


def test_admonitions_tabs_and_details_keep_what_the_reader_sees() -> None:
    """Warnings and the other tabs' commands could not be found or quoted."""
    text = """import Tabs from '@theme/Tabs';
import {
  one,
} from './parts';

export const Box = ({children}) => {

  return <div>{children}</div>;
};

:::danger[Back up first]
This deletes `data`.
:::

:::note

Plain.

:::

<Tabs values={[{label: '>'}]}>
  <TabItem value="npm" label="npm">

    ```bash title="shell.sh" {1}
    npm install <name>
    ```

  </TabItem>
</Tabs>

<details>
<summary>More</summary>

Hidden &amp; found, `Map<String>` and List<String>.<br/>Next{' '}line. {/* a comment */}

</details>
"""
    assert blocks(text) == [
        Block("label", "Danger: Back up first"),
        Block("prose", "This deletes `data`."),
        Block("label", "Note"),
        Block("prose", "Plain."),
        Block("label", "npm"),
        Block("label", "shell.sh"),
        Block("code", "npm install <name>", "bash"),
        Block("label", "More"),
        Block("prose", "Hidden & found, `Map<String>` and List<String>. Next line."),
    ]


def test_a_character_of_our_own_in_a_page_means_nothing() -> None:
    """A writer's private character would turn prose into labels, or stand in quotes as a box."""
    assert blocks("\ue000One\ue000 two.") == [Block("prose", "One two.")]
    assert blocks("- a\n\n  :::tip[b]\n\n  c\n\n  :::\n") == [
        Block("prose", "- a"),
        Block("label", "Tip: b"),
        Block("prose", "  c"),
    ]


def test_lists_tables_and_listings_stay_readable() -> None:
    """Quotes would run rows and steps together."""
    text = "1. One\n   - deep\n2. Two\n\n   ```js\n   f()\n   ```\n\n"
    text += "| a | b |\n|---|---|\n| `x` | 2 |\n\n> Quoted\n> text\n"
    assert blocks(text) == [
        Block("prose", "1. One\n  - deep\n2. Two"),
        Block("code", "f()", "js"),
        Block("table", "a | b\n`x` | 2"),
        Block("prose", "Quoted text"),
    ]


def test_comments_are_gone_but_not_from_listings() -> None:
    """Readers would be quoted what writers hid, or lose comments of a listing."""
    assert texts("Seen <!-- hidden\n\nstill --> too.\n\n```html\n<!-- kept -->\n```\n") == [
        "Seen too.",
        "<!-- kept -->",
    ]


def test_prose_that_looks_like_code_survives() -> None:
    """Sentences would vanish because they begin with a keyword or hold an angle bracket."""
    assert texts("import maps are new.\n\nexport your data.\n\nIf a < b and {x}, stop. 1 <2.\n") == [
        "import maps are new.",
        "export your data.",
        "If a < b and {x}, stop. 1 <2.",
    ]


def test_passages_split_long_sections_at_blocks_and_keep_every_word() -> None:
    """Long sections would be cut in the middle of a sentence, or lose their end."""
    page = read("## Long\n" + "\n\n".join(f"Paragraph {n} " + "word " * 40 for n in range(20)))
    chunks = chunk_page(page, ChunkSize(500, 1000))
    assert len(chunks) > 3
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    assert "\n\n".join(chunk.text for chunk in chunks) == "\n\n".join(b.text for b in page.sections[0].blocks)


def test_a_block_that_is_too_long_is_cut() -> None:
    """A page of one endless line would make one passage that no model can read."""
    line = "".join(str(number) for number in range(3000))
    chunks = chunk_page(read(line), ChunkSize(500, 1000))
    assert max(len(chunk.text) for chunk in chunks) <= 1000
    assert "".join(chunk.text for chunk in chunks) == line


def test_listings_are_fenced_in_the_text_and_absent_from_the_prose() -> None:
    """Code would be embedded as if it were English, or quoted as if it were prose."""
    (chunk,) = chunk_page(read("## A\nRun it:\n\n````md\n```js\nf()\n```\n````\n"))
    assert chunk.text == "Run it:\n\n````md\n```js\nf()\n```\n````"
    assert chunk.prose == "Run it:"


def test_ids_name_page_and_content() -> None:
    """Ingesting twice would change points, or a changed passage keep its old vector."""
    first, again = chunk_page(read("## A\nText.\n")), chunk_page(read("## A\nText.\n"))
    changed = chunk_page(read("## A\nOther text.\n"))
    assert first == again
    assert first[0].id != changed[0].id
    assert page_key(first[0].id) == page_key(changed[0].id) == key_of_page(URL)
    assert first[0].link == f"{URL}#a"


MARKS = [
    "#",
    "## ",
    "\n",
    "\n\n",
    "```",
    "~~~",
    "`",
    "<",
    ">",
    "</",
    "<div>",
    "<Tabs a={",
    "}",
    "{",
    "{/*",
    "*/}",
]
MARKS += [
    "<!--",
    "-->",
    ":::",
    ":::tip[",
    "]",
    "---\n",
    "import ",
    "export {",
    "| ",
    "- ",
    "1. ",
    "> ",
    "\\",
    "&amp;",
]
MARKS += [
    "'",
    '"',
    "{#id}",
    "    ",
    "\t",
    "\r\n",
    "\u00a0",
    "\ufeff",
    "\x00",
    "é",
    "字",
    "label=",
    "<TabItem ",
]
PAGES = st.lists(st.one_of(st.sampled_from(MARKS), st.text(max_size=8)), max_size=60).map("".join)


def test_no_text_breaks_the_reader(full: bool) -> None:
    """One strange page would end an ingestion of thousands."""

    @settings(max_examples=20_000 if full else 250, deadline=None, derandomize=True, database=None)
    @given(PAGES)
    def check(text: str) -> None:
        try:
            page = read(text)
        except SourceError:
            return
        chunks = chunk_page(page, ChunkSize(40, 80))
        assert chunks == chunk_page(read(text), ChunkSize(40, 80))
        assert_sound(page, chunks)

    check()


def assert_sound(page: Page, chunks: tuple[Chunk, ...]) -> None:
    assert chunks
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    assert {page_key(chunk.id) for chunk in chunks} == {key_of_page(page.url)}
    anchors = {section.anchor for section in page.sections}
    assert {chunk.anchor for chunk in chunks} <= anchors | {""}


def test_generated_anchors_are_unique_in_a_page(full: bool) -> None:
    """Two headings of one name would share a link."""

    @settings(max_examples=5000 if full else 200, deadline=None, derandomize=True, database=None)
    @given(st.lists(st.one_of(st.text("ab-1 ", max_size=5), st.text(max_size=5)), max_size=30))
    def check(headings: list[str]) -> None:
        slugger = Slugger()
        made = [slugger.slug(one) for one in headings]
        assert len(set(made)) == len(made)

    check()
