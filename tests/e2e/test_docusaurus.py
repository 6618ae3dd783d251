"""A site built by Docusaurus itself: what Lectern knows of it is what the site says, before and after edits.

Needs npm from apt (``apt-get install npm``); the first run downloads Docusaurus.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selectolax.lexbor import LexborHTMLParser

from shared import settings
from shared.adapters.web.fetcher import SafeFetcher
from shared.ingestion.files import FolderFiles
from shared.ingestion.html import read_html
from shared.ingestion.manifest import article_hash
from shared.ingestion.report import Report
from shared.ingestion.site import Item, Refused, Source
from shared.ingestion.sources import open_files, read_folder
from shared.ingestion.website import WebSite
from shared.ports import Point
from shared.retrieval.chunks import STATISTICS_ID, Page
from shared.settings import Settings
from shared.wiring import ingest
from shared.wiring.stack import services
from tests.e2e.docusaurus.building import SITE, build
from tests.local_stack import live_points
from tests.web_server import Answer, WebServer, web_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

URL = "https://acme.example"
EDITS = (
    ("docs/reference/limits.md", "At most 500 trees.", "At most 800 trees."),
    ("docs/reference/old.md", "", ""),
    ("docs/reference/before.md", "", ""),
    ("docs/reference/after.md", "", "# Ladders\n\nA ladder has eleven rungs.\n"),
    ("docs/reference/2024-05-notes.md", "# Notes", "---\nunlisted: true\n---\n\n# Notes"),
    ("docs/reference/new.md", "", "# Scales\n\nScales are tared in October.\n"),
    ("versioned_docs/version-2.0/01-guides/02-install.mdx", "sh install.sh --prefix", "sh install.sh --into"),
    ("i18n/fr/docusaurus-plugin-content-docs/version-2.0/intro.md", "quarante", "cinquante"),
)
SLASHES = (
    ("docusaurus.config.js", "baseUrl: '/'", "baseUrl: '/base/', trailingSlash: true"),
    (
        "docs/reference/unseen.md",
        "",
        "# Unseen\n\n<head>\n  <meta name='robots' content='noindex' />\n</head>\n\nQuetzalcoatl.\n",
    ),
)
"""The same site in another place, with slashes, and with a page that its head hides."""
SECRETS = ("quetzalcoatl", "xylophone", "Left out by the plugin")

ENGLISH = {
    "/",
    "/about",
    "/api/",
    "/blog/2026/01/05/frost",
    "/docs/",
    "/docs/guides/install",
    "/docs/reference/limits",
    "/docs/setup/configure",
    "/docs/next/",
    "/docs/next/guides/install",
    "/docs/next/reference/2024-05-notes",
    "/docs/next/reference/before",
    "/docs/next/reference/limits",
    "/docs/next/reference/old",
    "/docs/next/setup/configure",
}


def both(paths: set[str]) -> set[str]:
    """The pages in English and in French, with the site's address."""
    return {f"{URL}{path}" for path in paths} | {f"{URL}/fr{path}" for path in paths}


@pytest.fixture(scope="module")
def before() -> Path:
    return build("before")


@pytest.fixture(scope="module")
def after() -> Path:
    return build("after", EDITS)


@pytest.fixture(scope="module")
def slashes() -> Path:
    return build("slashes", SLASHES)


@dataclass(frozen=True)
class Indexed:
    """Both states, ingested one after the other: points by id, without the reserved one."""

    first: dict[str, Point]
    second: dict[str, Point]
    again: Report
    report: Report


@pytest.fixture(scope="module")
def indexed(before: Path, after: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Indexed]:
    """The site is deployed to one place, in one state after the other."""
    place = tmp_path_factory.mktemp("www") / "build"
    home = tmp_path_factory.mktemp("stack")
    with services(settings.load({}, home=str(home), embedder="none")) as ready:
        shutil.copytree(before, place)
        ingest.run(ready.settings, place, "")
        first = points_of(ready.settings)
        again = ingest.run(ready.settings, place, "")
        shutil.rmtree(place)
        shutil.copytree(after, place)
        report = ingest.run(ready.settings, place, "")
        yield Indexed(first, points_of(ready.settings), again, report)


def points_of(own: Settings) -> dict[str, Point]:
    return {point.id: point for point in live_points(own) if point.id != STATISTICS_ID}


def pages_of(points: dict[str, Point]) -> set[str]:
    return {str(point.payload["url"]) for point in points.values()}


def text_of(point: Point) -> str:
    return str(point.payload["text"])


def manifests(built: Path) -> Iterator[tuple[Path, dict[str, object], dict[str, str]]]:
    """Folder, manifest and page of each entry of all locales."""
    for folder in (built, built / "fr"):
        read = json.loads((folder / "lectern-manifest.json").read_text(encoding="utf-8"))
        for page in read["pages"]:
            yield folder, read, page


@cache
def ids_of(file: Path) -> frozenset[str]:
    tree = LexborHTMLParser(file.read_text(encoding="utf-8"))
    return frozenset(node.attributes.get("id") or "" for node in tree.css("[id]"))


def file_of(built: Path, url: str) -> Path:
    path = urlsplit(url).path.strip("/")
    return built / path / "index.html"


# ------------------------------------------------------------ the first state


def test_exactly_the_pages_that_readers_find_are_indexed(indexed: Indexed) -> None:
    """A version, a language or a page with a slug of its own would be missing, or a hidden one be there."""
    assert pages_of(indexed.first) == both(ENGLISH)


def test_every_address_and_anchor_exists_in_the_build(indexed: Indexed, before: Path, after: Path) -> None:
    """A citation would open a page that is not there, or the top of one instead of the heading."""
    for built, points in ((before, indexed.first), (after, indexed.second)):
        anchored = 0
        for point in points.values():
            file = file_of(built, str(point.payload["url"]))
            assert file.is_file(), point.payload
            anchor = str(point.payload["anchor"])
            assert not anchor or anchor in ids_of(file), point.payload
            anchored += bool(anchor)
        assert anchored > 30


def test_nothing_that_is_hidden_is_in_the_index(indexed: Indexed) -> None:
    """Drafts, unlisted pages and excluded ones would be quoted to readers."""
    for points in (indexed.first, indexed.second):
        for point in points.values():
            for word in SECRETS:
                assert word not in text_of(point)
            assert not re.search("draft|quiet|private|category|/tags", str(point.payload["url"]))
    assert f"{URL}/docs/next/reference/2024-05-notes" in pages_of(indexed.first)
    assert f"{URL}/docs/next/reference/2024-05-notes" not in pages_of(indexed.second)


def test_versions_and_locales_are_told_apart(indexed: Indexed) -> None:
    """A reader of version 2.0 would get the answer of the next one, in another language."""
    found = {
        (str(point.payload["url"]).removeprefix(URL), point.payload["version"], point.payload["locale"])
        for point in indexed.first.values()
    }
    assert {
        ("/docs/", "2.0", "en"),
        ("/docs/next/", "current", "en"),
        ("/fr/docs/", "2.0", "fr"),
        ("/fr/docs/next/", "current", "fr"),
    } <= found
    french = [point for point in indexed.first.values() if point.payload["url"] == f"{URL}/fr/docs/"]
    assert any("Les vergers" in text_of(point) for point in french)
    assert {point.payload["anchor"] for point in french} == {"", "pour-qui"}


def test_boxes_tabs_tables_and_listings_are_what_they_are(indexed: Indexed) -> None:
    """A command would be quoted without its system, a warning as if it were advice."""
    page = f"{URL}/docs/guides/install"
    texts = {
        str(point.payload["anchor"]): text_of(point)
        for point in indexed.first.values()
        if point.payload["url"] == page
    }
    assert set(texts) == {"", "pick-a-system", "by-hand", "check-the-acme-program"}
    assert texts[""] == "You need a barometer and a ladder.\n\nThe release is 2.0.1."
    assert texts["pick-a-system"] == (
        "Linux\n\nRun the script:\n\ninstall.sh\n\n"
        "```bash\ncurl -fsS https://acme.example/install.sh\nsh install.sh --prefix <folder>\n```\n\n"
        "Windows\n\nUse `winget install acme`."
    )
    assert texts["check-the-acme-program"] == "```\nacme --version\n```"
    assert texts["by-hand"] == (
        "Warning: Root is needed\n\nThe script writes to `/usr/local`.\n\nTip\n\nMind the frost.\n\n"
        "What the script does\n\nIt copies one file.\n\n"
        "Exit code | Meaning\n--- | ---\n`0` | all is well\n`7` | the disk is full"
    )


# ------------------------------------------------------------ the plugin


def test_the_manifest_agrees_with_the_html(before: Path, after: Path) -> None:
    """Pages would be skipped though they changed, or be read under a title that they do not have."""
    for built in (before, after):
        for folder, head, page in manifests(built):
            file = folder / page["html"]
            data = file.read_bytes()
            assert article_hash(data) == page["sha256"], file
            read = read_html(data.decode(), source=str(file))
            assert read is not None, file
            assert read.url == f"{head['site']}{page['permalink']}"
            assert read.locale == head["locale"]
            if page["kind"] == "doc":
                assert (read.title, read.version) == (page["title"], page["version"])


def test_the_manifest_lists_what_the_sitemap_lists_but_for_lists_of_pages(before: Path) -> None:
    """A page that the site shows would never be read."""
    listed = set()
    for folder in (before, before / "fr"):
        found = re.findall("<loc>([^<]+)</loc>", (folder / "sitemap.xml").read_text(encoding="utf-8"))
        listed |= {url for url in found if not re.search("/tags|/category/|/archive$|/blog$|/private$", url)}
    assert {f"{head['site']}{page['permalink']}" for _, head, page in manifests(before)} == listed


def test_an_edit_changes_no_hash_but_that_of_its_page(before: Path, after: Path) -> None:
    """Every edit would bring the whole site through parsing again: names of scripts change with each one."""
    old, new = (
        {page["permalink"]: page["sha256"] for _, _, page in manifests(built)} for built in (before, after)
    )
    changed = {path for path in old.keys() & new.keys() if old[path] != new[path]}
    assert {path.removeprefix("/fr") for path in changed} == {
        "/docs/",
        "/docs/next/reference/limits",
        "/docs/guides/install",
    }
    assert "/docs/" not in changed
    scripts = [
        re.findall(r"/assets/js/main\.\w+\.js", (built / "index.html").read_text())
        for built in (before, after)
    ]
    assert scripts[0] != scripts[1]


# ------------------------------------------------------------ edits


def test_an_unchanged_site_is_left_alone(indexed: Indexed) -> None:
    """Every nightly run would cost as much as the first."""
    assert (indexed.again.added, indexed.again.changed, indexed.again.removed) == (0, 0, 0)
    assert indexed.again.unchanged == len(both(ENGLISH))


def test_edits_change_exactly_the_right_passages(indexed: Indexed) -> None:
    """An edit would leave the old sentence in the index, or touch passages that nobody edited."""
    old, new = indexed.first, indexed.second
    gone = {(links(old[one]), text_of(old[one])) for one in old.keys() - new.keys()}
    come = {(links(new[one]), text_of(new[one])) for one in new.keys() - old.keys()}
    notes, ladders = "Dates are no number prefixes.", "A ladder has eleven rungs."
    assert {link for link, _ in gone} == {
        "/docs/next/reference/limits#trees",
        "/fr/docs/next/reference/limits#trees",
        "/docs/next/reference/old",
        "/fr/docs/next/reference/old",
        "/docs/next/reference/before",
        "/fr/docs/next/reference/before",
        "/docs/next/reference/2024-05-notes",
        "/fr/docs/next/reference/2024-05-notes",
        "/docs/guides/install#pick-a-system",
        "/fr/docs/guides/install#pick-a-system",
        "/fr/docs/#pour-qui",
    }
    assert {text for _, text in gone} >= {notes, ladders, "At most 500 trees."}
    assert {link for link, _ in come} == {
        "/docs/next/reference/limits#trees",
        "/fr/docs/next/reference/limits#trees",
        "/docs/next/reference/after",
        "/fr/docs/next/reference/after",
        "/docs/next/reference/new",
        "/fr/docs/next/reference/new",
        "/docs/guides/install#pick-a-system",
        "/fr/docs/guides/install#pick-a-system",
        "/fr/docs/#pour-qui",
    }
    assert len(gone) == 11
    assert len(come) == 9
    kept = old.keys() & new.keys()
    assert {one: (old[one].payload, old[one].vectors) for one in kept} == {
        one: (new[one].payload, new[one].vectors) for one in kept
    }
    report = indexed.report
    assert (report.added, report.changed, report.removed) == (4, 5, 6)


def links(point: Point) -> str:
    anchor = point.payload["anchor"]
    return str(point.payload["url"]).removeprefix(URL) + (f"#{anchor}" if anchor else "")


# ------------------------------------------------------------ other ways in


def read(source: Source) -> tuple[dict[str, Page], list[str]]:
    """Pages by address, without the place that each came from, and what was refused."""
    found = list(source.items({}))
    pages = {one.url: replace(one.page, source="") for one in found if isinstance(one, Item) and one.page}
    return pages, [str(one) for one in found if isinstance(one, Refused)]


@contextmanager
def served(built: Path, base: str = "", *, with_manifest: bool) -> Iterator[WebServer]:
    """The build on a static host, below ``base``."""
    with web_server() as server:
        for file in built.rglob("*"):
            name = f"{base}/{file.relative_to(built).as_posix()}"
            if name.endswith(".html"):
                place = name.removesuffix("/index.html") or "/"
                server.routes[place] = server.routes[place.rstrip("/") + "/"] = Answer(file.read_bytes())
            elif name.endswith("sitemap.xml") or (name.endswith("lectern-manifest.json") and with_manifest):
                text = file.read_text(encoding="utf-8").replace(URL, server.url)
                server.routes[name] = Answer(
                    text.encode(), headers={"Content-Type": "application/octet-stream"}
                )
        yield server


def test_every_way_in_gives_the_same_pages(before: Path, tmp_path: Path) -> None:
    """Without the plugin, or from outside, the site would read differently."""
    expected, refused = read(open_files(FolderFiles(before)))
    assert set(expected) == both(ENGLISH)
    assert not refused
    private = both({"/blog/private"})
    bare = tmp_path / "bare"
    for file in before.rglob("*"):
        if file.suffix == ".html" or file.name == "sitemap.xml":
            (bare / file.relative_to(before)).parent.mkdir(parents=True, exist_ok=True)
            (bare / file.relative_to(before)).write_bytes(file.read_bytes())
    found, refused = read(open_files(FolderFiles(bare)))
    assert (set(found), refused) == (both(ENGLISH) | private, [])
    assert {url: page for url, page in found.items() if url not in private} == expected
    for with_manifest in (True, False):
        with served(before, with_manifest=with_manifest) as server:
            fetcher = SafeFetcher(server.url, allowed_hosts=("127.0.0.1",), per_second=1000.0)
            found, refused = read(WebSite(fetcher, server.url, URL))
            fetcher.close()
        assert not refused
        assert {url: page for url, page in found.items() if url not in private} == expected


def test_addresses_are_those_of_the_site_that_ends_them_in_a_slash(slashes: Path) -> None:
    """Citations would be redirected, and a page that its head hides be published and quoted."""
    expected = {url.replace(URL, f"{URL}/base").rstrip("/") + "/" for url in both(ENGLISH)}
    found, refused = read(open_files(FolderFiles(slashes)))
    assert (set(found), refused) == (expected, [])
    for folder, head, page in manifests(slashes):
        canonical = read_html((folder / page["html"]).read_text(encoding="utf-8"))
        assert canonical is not None
        assert canonical.url == f"{head['site']}{page['permalink']}"
    assert "unseen" not in (slashes / "lectern-manifest.json").read_text(encoding="utf-8")
    private = {f"{URL}/base/blog/private/", f"{URL}/base/fr/blog/private/"}
    for with_manifest in (True, False):
        with served(slashes, "/base", with_manifest=with_manifest) as server:
            fetcher = SafeFetcher(f"{server.url}/base", allowed_hosts=("127.0.0.1",), per_second=1000.0)
            web, refused = read(WebSite(fetcher, f"{server.url}/base", f"{URL}/base"))
            fetcher.close()
        assert not refused
        assert {url: page for url, page in web.items() if url not in private} == found


def test_markdown_gets_the_addresses_and_anchors_of_the_build(before: Path) -> None:
    """Where only the sources are at hand, citations would lead nowhere."""
    built, _ = read(open_files(FolderFiles(before)))
    pages = list(read_folder(SITE / "docs", f"{URL}/docs/next"))
    assert len(pages) == 7
    for page in pages:
        expected = built[page.url]
        assert page.title == expected.title
        assert [one.headings for one in page.sections] == [one.headings for one in expected.sections], (
            page.url
        )
        assert [one.anchor for one in page.sections] == [one.anchor for one in expected.sections], page.url
