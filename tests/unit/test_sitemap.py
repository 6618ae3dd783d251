"""Sitemaps: what is read of them, and what is refused."""

from __future__ import annotations

import gzip
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import SourceError
from shared.ingestion.sitemap import MOST_PAGES, Sitemap, read_sitemap

NS = b'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def test_pages_and_sitemaps_are_told_apart() -> None:
    """Images of a page would be fetched as pages, addresses with & would be wrong."""
    data = (
        b'<?xml version="1.0" encoding="UTF-8"?><urlset ' + NS + b' xmlns:image="x" xmlns:s="y">'
        b"<url><loc> https://a.dev/x?a=1&amp;b=2 </loc><lastmod>2026-01-01</lastmod>"
        b"<image:image><image:loc>https://a.dev/i.png</image:loc></image:image></url>"
        b"<s:url><s:loc><![CDATA[https://a.dev/\xc3\xa9]]></s:loc></s:url><url><loc/></url></urlset>"
    )
    assert read_sitemap(data, "s.xml") == Sitemap(["https://a.dev/x?a=1&b=2", "https://a.dev/é"], [])
    assert read_sitemap(gzip.compress(data), "s.xml").pages == ["https://a.dev/x?a=1&b=2", "https://a.dev/é"]
    index = b"<sitemapindex " + NS + b"><sitemap><loc>https://a.dev/1.xml</loc></sitemap></sitemapindex>"
    assert read_sitemap(index, "s.xml") == Sitemap([], ["https://a.dev/1.xml"])


LAUGHS = b'<!DOCTYPE u [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
REACH = b'<!DOCTYPE u [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "s.xml"),
        (b"\x00\x01", "line 1"),
        (b"<urlset><url></urlset>", "line 1"),
        (b"<urlset>\n<url>\n", "line 3"),
        (b"<html><body/></html>", "'html' and no sitemap"),
        (LAUGHS + b"<urlset><url><loc>&b;</loc></url></urlset>", "document type"),
        (REACH + b"<urlset><url><loc>&a;</loc></url></urlset>", "document type"),
        (b'<?xml version="1.0" encoding="klingon"?><urlset/>', "s.xml"),
        (b"<urlset>" + b"<a>" * 200, "nested too deeply"),
        (b"\x1f\x8bno gzip", "no gzip"),
        (gzip.compress(b" " * (51 * 2**20)), "larger than 50 MiB"),
        (b"<urlset>" + b"<url><loc>x</loc></url>" * (MOST_PAGES + 1), "more than"),
    ],
)
def test_what_is_no_sitemap_is_named(data: bytes, said: str) -> None:
    """A bomb would take the memory; half a list would remove the other half of the site."""
    started = time.process_time()
    with pytest.raises(SourceError, match=said):
        read_sitemap(data, "s.xml")
    assert time.process_time() - started < 5


PARTS = [b"<urlset>", b"</urlset>", b"<url>", b"</url>", b"<loc>", b"</loc>", b"<sitemapindex>", b"&amp;"]
PARTS += [
    b"<sitemap>",
    b"</sitemap>",
    b"https://a.dev/",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"&#x0;",
    b"\xff",
]
PARTS += [
    b"<!DOCTYPE a>",
    b'<?xml version="1.1"?>',
    b"<?pi ",
    b"?>",
    b"\x1f\x8b",
    b"&x;",
    b"<a:loc xmlns:a='b'>",
]


def test_no_sitemap_breaks_the_reader(full: bool) -> None:
    """A broken sitemap would end the run with a stack trace instead of a line that names it."""

    @settings(max_examples=10_000 if full else 300, deadline=None, derandomize=True, database=None)
    @given(st.lists(st.sampled_from(PARTS) | st.binary(max_size=4), max_size=30).map(b"".join), st.booleans())
    def check(data: bytes, whole: bool) -> None:
        tried = b"<urlset><url><loc>" + data + b"</loc></url></urlset>" if whole else data
        assert said_of(tried).startswith("s.xml")

    check()


def said_of(data: bytes) -> str:
    try:
        return " ".join(["s.xml", *read_sitemap(data, "s.xml").pages])
    except SourceError as error:
        return error.message
