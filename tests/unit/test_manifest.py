"""The manifest of a Docusaurus build: what is read of it, and what is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import SourceError
from shared.ingestion.manifest import SCHEMA, Entry, article_hash, read_manifest
from shared.ingestion.site import Refused

DIGEST = hashlib.sha256(b"").hexdigest()


def page(**more: Any) -> dict[str, Any]:
    return {"permalink": "/docs/a", "html": "docs/a/index.html", "sha256": DIGEST, **more}


def manifest(*pages: Any, **more: Any) -> bytes:
    head = {"lectern_manifest": SCHEMA, "site": "https://acme.example", "base_url": "/", "locale": "en"}
    return json.dumps({**head, "pages": list(pages), **more}).encode()


def entries(*pages: Any, **more: Any) -> list[Entry | Refused]:
    return list(read_manifest(manifest(*pages, **more), "m.json").entries("m.json"))


def test_hidden_pages_are_left_out() -> None:
    """Another generator may list drafts and unlisted pages; answers would quote them."""
    found = entries(page(), page(permalink="/docs/b", draft=True), page(permalink="/docs/c", unlisted=True))
    assert [one.permalink for one in found if isinstance(one, Entry)] == ["/docs/a"]


@pytest.mark.parametrize(
    "damage",
    [
        {"html": "../../etc/passwd"},
        {"html": "/etc/passwd"},
        {"html": "a//b.html"},
        {"html": "a\\b.html"},
        {"html": "a\x00.html"},
        {"html": ""},
        {"permalink": "//evil.example/a"},
        {"permalink": "https://evil.example/a"},
        {"permalink": "/docs/../../a"},
        {"sha256": "abc"},
        {"sha256": None},
        {"title": 3},
    ],
)
def test_a_damaged_page_is_named_and_the_others_go_on(damage: dict[str, Any]) -> None:
    """One bad line would hide a whole site, or read a file outside of the build."""
    refused, good = entries(page(**damage), page(permalink="/docs/b"))
    assert isinstance(refused, Refused)
    assert refused.source == "m.json, page 1"
    assert isinstance(good, Entry)


def test_a_page_outside_of_its_locale_is_refused() -> None:
    """A page would be indexed under an address of another site on the same host."""
    (refused,) = entries(page(), base_url="/fr/")
    assert isinstance(refused, Refused)
    assert "/fr/" in refused.reason


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "m.json"),
        (b"[]", "m.json"),
        (b"\xff", "m.json"),
        (b"[" * 100_000, "m.json"),
        (manifest(lectern_manifest=2), "schema is 2"),
        (manifest(base_url="docs"), "base_url"),
        (manifest(site="ftp://acme.example"), "site"),
        (manifest()[:-1], "m.json"),
    ],
)
def test_a_damaged_manifest_is_named(data: bytes, said: str) -> None:
    """All pages would be taken for removed because of half a file."""
    with pytest.raises(SourceError, match=said):
        read_manifest(data, "m.json")


def test_the_hash_is_that_of_the_article() -> None:
    """Every page would be parsed and embedded again after an edit anywhere in the site."""
    html = b"<script src=/main.1.js></script><main><article>a</article></main>"
    assert article_hash(html) == article_hash(html.replace(b"main.1", b"main.2"))
    assert article_hash(html) == hashlib.sha256(b"<article>a</article>").hexdigest()
    assert article_hash(b"x<main>b</main>y") == hashlib.sha256(b"<main>b</main>").hexdigest()
    assert article_hash(b"</article><article>") == hashlib.sha256(b"</article><article>").hexdigest()


def test_the_source_hash_changes_with_what_the_head_says() -> None:
    """A new title would not reach the index, because the article stayed the same."""
    read = read_manifest(manifest(page()), "m.json")
    (entry,) = read.entries("m.json")
    assert isinstance(entry, Entry)
    other = msgspec.structs.replace(entry, title="New")
    assert read.source_hash(entry) != read.source_hash(other)
    assert read.source_hash(entry) != replace(read, locale="fr").source_hash(entry)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["permalink", "html", "sha256", "title", "draft", "unlisted", "version", "description", "kind"]
)
PAGES = st.dictionaries(FIELDS, VALUES, max_size=9).map(lambda more: page(**more)) | VALUES
HEADS = st.dictionaries(
    st.sampled_from(["lectern_manifest", "site", "base_url", "locale", "pages", "manifests", "other"]),
    VALUES,
    max_size=2,
)


def test_no_manifest_breaks_the_reader(full: bool) -> None:
    """A broken manifest would end the run with a stack trace instead of a line that names it."""

    @settings(max_examples=10_000 if full else 300, deadline=None, derandomize=True, database=None)
    @given(st.lists(PAGES, max_size=5), HEADS, st.integers(0, 400), st.binary(max_size=3))
    def check(pages: list[Any], head: dict[str, Any], at: int, noise: bytes) -> None:
        data = manifest(*pages, **head)
        for form in (data, data[:at] + noise + data[at:]):
            for one in tried(form):
                if isinstance(one, Entry):
                    assert ".." not in one.html.split("/")
                else:
                    assert str(one).startswith("m.json")

    check()


def tried(data: bytes) -> list[Entry | Refused | SourceError]:
    try:
        return list(read_manifest(data, "m.json").entries("m.json"))
    except SourceError as error:
        return [error]
