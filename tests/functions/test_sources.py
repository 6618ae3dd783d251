"""Sites as they come: folders, buckets, addresses. What is read, what is known already, what is refused."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import settings
from shared.adapters.web.fetcher import SafeFetcher
from shared.embedded.folder import FolderStore
from shared.errors import DependencyError, Rejected, SourceError, Unreachable
from shared.ingestion.files import BucketFiles, FolderFiles
from shared.ingestion.site import EVERYTHING, Item, Known, Refused, Share, Source
from shared.ingestion.sources import open_files
from shared.ingestion.website import GIVE_UP, WebSite
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.buckets import small_store
from shared.wiring.sources import open_source
from tests.fakes.gcs import FakeGcs
from tests.web_server import Answer, WebServer, web_server

SITE = "https://acme.example"


def article(title: str, body: str = "<p>Text.", head: str = "") -> bytes:
    return (
        f"<!doctype html><html lang=en><head>{head}</head><body><main><article>"
        f"<div class=theme-doc-markdown><h1>{title}</h1>{body}</div></article></main></body></html>"
    ).encode()


def canonical(path: str, site: str = SITE) -> str:
    return f"<link rel=canonical href={site}{path} />"


def manifest(
    pages: dict[str, bytes], *, base: str = "/", locale: str = "en", site: str = SITE, **more: Any
) -> bytes:
    listed = [
        {
            "permalink": base + place,
            "html": f"{place}/index.html",
            "title": place,
            "sha256": hashlib.sha256(
                body[body.find(b"<article") : body.rfind(b"</article>") + len(b"</article>")]
            ).hexdigest(),
        }
        for place, body in pages.items()
    ]
    head = {"lectern_manifest": 1, "site": site, "base_url": base, "locale": locale}
    return json.dumps({**head, "pages": listed, **more}).encode()


def sitemap(*addresses: str) -> bytes:
    urls = "".join(f"<url><loc>{address}</loc></url>" for address in addresses)
    return f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'.encode()


def write(root: Path, files: dict[str, bytes]) -> Path:
    root.mkdir(exist_ok=True)
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def read(source: Source, known: Known | None = None, share: Share = EVERYTHING) -> list[Item | Refused]:
    return list(source.items(known or {}, share=share))


def pages(found: Sequence[Item | Refused]) -> dict[str, bool]:
    """Whether each page was parsed, by its address."""
    return {one.url: one.page is not None for one in found if isinstance(one, Item)}


def hashes(found: Sequence[Item | Refused]) -> dict[str, str]:
    return {one.url: one.hash for one in found if isinstance(one, Item)}


def lines(found: Sequence[Item | Refused]) -> list[str]:
    return [str(one) for one in found if isinstance(one, Refused)]


BUILT = {f"docs/{name}": article(name, head=canonical(f"/docs/{name}")) for name in ("a", "b")}
MARKDOWN = {"a.md": b"# A\n\nText.\n", "b.mdx": b"---\nslug: /other\n---\n\n# B\n"}


def built(files: dict[str, bytes], **lists: bytes) -> dict[str, bytes]:
    named = {"manifest": "lectern-manifest.json", "sitemap": "sitemap.xml"}
    return {
        **{f"{place}/index.html": body for place, body in files.items()},
        **{named[name]: data for name, data in lists.items()},
    }


KINDS = {
    "manifest": built(BUILT, manifest=manifest(BUILT)),
    "sitemap": built(BUILT, sitemap=sitemap(f"{SITE}/docs/a", f"{SITE}/docs/b")),
    "html": built(BUILT),
    "markdown": MARKDOWN,
}


@pytest.fixture(params=["folder", "bucket"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Opens files as a site: from a folder, or from below a prefix of a bucket."""
    store = FolderStore(tmp_path / "bucket")

    def open_site(files: dict[str, bytes], base_url: str = "") -> Source:
        if request.param == "folder":
            return open_files(FolderFiles(write(tmp_path / "site", files)), base_url)
        for name, data in {**files, "../other/x.md": b"# Not of this site\n"}.items():
            place = f"sites/other/{name[9:]}" if name.startswith("../") else f"sites/acme/{name}"
            store.put(place, data, Deadline.after(10))
        return open_files(BucketFiles(store, "/sites/acme/", "gs://bucket/sites/acme"), base_url)

    return open_site


@pytest.mark.parametrize("kind", KINDS)
def test_pages_that_are_known_are_not_parsed_again(opened: Any, kind: str) -> None:
    """An unchanged site would cost as much as a new one."""
    source = opened(KINDS[kind])
    first = read(source)
    assert list(pages(first).values()) == [True, True]
    assert pages(read(source, hashes(first))) == dict.fromkeys(pages(first), False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_page_alone_is_parsed(opened: Any, kind: str) -> None:
    """An edit would not arrive, or would bring the whole site with it."""
    before = hashes(read(opened(KINDS[kind])))
    changed = {**BUILT, "docs/a": BUILT["docs/a"].replace(b"Text.", b"New.")}
    files = {**KINDS[kind], **(built(changed) if kind != "markdown" else {"a.md": b"# A\n\nNew.\n"})}
    if kind == "manifest":
        files = built(changed, manifest=manifest(changed))
    after = read(opened(files), before)
    assert [url.rpartition("/")[2] for url, parsed in pages(after).items() if parsed] == ["a"]


def test_the_manifest_decides_what_is_a_page(opened: Any) -> None:
    """Pages that the site does not list would be quoted, or missing ones go unnoticed."""
    listed = {**BUILT, "docs/gone": article("gone")}
    files = built({**BUILT, "docs/hidden": article("hidden")}, manifest=manifest(listed))
    del files["docs/b/index.html"]
    found = read(opened(files))
    assert list(pages(found)) == [f"{SITE}/docs/a"]
    assert [line.partition(":")[0] for line in lines(found)] == ["docs/b/index.html", "docs/gone/index.html"]


def test_each_locale_has_its_manifest(opened: Any) -> None:
    """A language would be missing, or its pages get the addresses of another."""
    french = {"docs/a": article("a")}
    files = built(BUILT, manifest=manifest(BUILT))
    files |= {"fr/lectern-manifest.json": manifest(french, base="/fr/", locale="fr")}
    files |= {"fr/docs/a/index.html": french["docs/a"]}
    assert list(pages(read(opened(files)))) == [f"{SITE}/docs/a", f"{SITE}/docs/b", f"{SITE}/fr/docs/a"]
    moved = read(opened(files, "https://new.example/base"))
    assert list(pages(moved))[-1] == "https://new.example/base/fr/docs/a"


def test_a_page_that_is_not_what_its_manifest_says_is_read_again(opened: Any) -> None:
    """The page of an older build would pass for the new one until the next edit."""
    files = built(BUILT, manifest=manifest({**BUILT, "docs/a": article("a", "<p>Newer.")}))
    found = hashes(read(opened(files)))
    assert (found[f"{SITE}/docs/a"], bool(found[f"{SITE}/docs/b"])) == ("", True)


def test_a_page_that_left_the_sitemap_is_left_out_though_its_file_is_the_same(opened: Any) -> None:
    """A page that the site hides would stay in the answers."""
    for base in ("", "https://new.example"):
        first = hashes(read(opened(KINDS["sitemap"], base)))
        files = built(BUILT, sitemap=sitemap(f"{SITE}/docs/b"))
        assert list(pages(read(opened(files, base), first))) == [f"{base or SITE}/docs/b"]


def test_shares_are_disjoint_and_whole(opened: Any) -> None:
    """Two tasks of one run would do the same pages, or none of them."""
    for kind, files in KINDS.items():
        source = opened(files)
        whole = {one.place for one in read(source) if isinstance(one, Item)}
        shares = [
            {
                one.place
                for one in read(source, share=lambda place, own=own: len(place) % 2 == own)
                if isinstance(one, Item)
            }
            for own in (0, 1)
        ]
        assert shares[0] | shares[1] == whole, kind
        assert not shares[0] & shares[1]


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(opened: Any) -> None:
    """One bad file would end the run."""
    files = {**KINDS["html"], "c.html": b"<p>no article", "d.html": b"\xff", "e.html": b"x" * (5 * 2**20 + 1)}
    deep = article("deep", "<div>" * 5000)
    found = read(opened({**files, "deep/index.html": deep, "same.html": BUILT["docs/a"]}))
    assert list(pages(found)) == [f"{SITE}/docs/a", f"{SITE}/docs/b"]
    named = [line.partition(":")[0] for line in lines(found)]
    assert named == ["c.html", "d.html", "deep/index.html", "e.html", "same.html"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_breaks_keeps_the_address_it_had(opened: Any, kind: str) -> None:
    """A typo in the head of one page would remove it from the index."""
    before = hashes(read(opened(KINDS[kind])))
    name = "b.mdx" if kind == "markdown" else "docs/b/index.html"
    files = {**KINDS[kind], name: b"---\na: [\n---\n\xff"}
    if kind == "manifest":
        files["lectern-manifest.json"] = manifest({**BUILT, "docs/b": article("new")})
    (refused,) = (one for one in read(opened(files), before) if isinstance(one, Refused))
    assert refused.url == list(before)[1]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no page"),
        ({"a.txt": b""}, "no page"),
        ({"a.html": article("a"), "lectern-manifest.json": b"{"}, "lectern-manifest.json"),
        ({"a.html": article("a"), "sitemap.xml": b"<urlset>"}, "sitemap.xml"),
        (
            {"a.html": article("a"), "sitemap.xml": b"<!DOCTYPE x [<!ENTITY a 'b'>]><urlset/>"},
            "document type",
        ),
    ],
)
def test_a_place_without_a_readable_list_of_pages_ends_the_run(
    opened: Any, files: dict[str, bytes], said: str
) -> None:
    """All pages would be removed from the index because a file was cut."""
    with pytest.raises(SourceError, match=said):
        read(opened(files))


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    """A repository could make Lectern index the machine's own files."""
    secret = tmp_path / "secret.md"
    secret.write_text("# Secret\n")
    site = write(tmp_path / "site", {"a.md": b"# A\n"})
    (site / "b.md").symlink_to(secret)
    assert list(pages(read(open_files(FolderFiles(site))))) == ["/a"]
    files = FolderFiles(site)
    (file,) = files.list()
    (site / "a.md").unlink()
    (site / "a.md").symlink_to(secret)
    with pytest.raises(SourceError, match=r"a\.md cannot be read"):
        files.read(file)


# ------------------------------------------------------------ over HTTP


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


@pytest.fixture
def own() -> Settings:
    return replace(settings.load({}), site_allowed_hosts=("127.0.0.1",), site_requests_per_second=1000.0)


def serve(server: WebServer, files: dict[str, bytes]) -> None:
    """The files as a static host serves them, with ETags."""
    server.routes.clear()
    for name, data in files.items():
        kind = (
            "application/json"
            if name.endswith("json")
            else "text/xml"
            if name.endswith("xml")
            else "text/html"
        )
        etag = f'"{hashlib.sha256(data).hexdigest()[:8]}"'

        def answer(heads: Any, data: bytes = data, kind: str = kind, etag: str = etag) -> Answer:
            if heads.get("if-none-match") == etag:
                return Answer(status=304)
            return Answer(data, headers={"Content-Type": kind, "ETag": etag})

        server.routes["/" + name.removesuffix("/index.html")] = answer


def visit(own: Settings, place: str, known: Known | None = None, base_url: str = "") -> list[Item | Refused]:
    with open_source(own, place, base_url) as source:
        return read(source, known)


def test_a_served_manifest_spares_unchanged_pages(server: WebServer, own: Settings) -> None:
    """Every run would fetch the whole site again."""
    serve(server, built(BUILT, manifest=manifest(BUILT)))
    first = visit(own, server.url)
    assert list(pages(first)) == [f"{server.url}/docs/a", f"{server.url}/docs/b"]
    server.asked.clear()
    assert pages(visit(own, server.url, hashes(first))) == dict.fromkeys(pages(first), False)
    assert server.asked == ["/lectern-manifest.json"]


def test_the_manifests_of_all_locales_are_read_where_the_first_one_was(
    server: WebServer, own: Settings
) -> None:
    """A preview would be read from the published site, or lose its languages."""
    french = {"docs/a": article("a")}
    names = {
        "en": f"{SITE}/lectern-manifest.json",
        "fr": f"{SITE}/fr/lectern-manifest.json",
        "de": "https://acme.de/x",
    }
    serve(
        server,
        {
            **built(BUILT, manifest=manifest(BUILT, manifests=names)),
            "fr/lectern-manifest.json": manifest(french, base="/fr/", locale="fr", manifests=names),
            "fr/docs/a/index.html": french["docs/a"],
        },
    )
    found = visit(own, server.url, base_url=SITE)
    assert list(pages(found)) == [f"{SITE}/docs/a", f"{SITE}/docs/b", f"{SITE}/fr/docs/a"]
    assert lines(found) == []


def test_a_page_that_its_server_hides_later_is_left_out_though_it_did_not_change(
    server: WebServer, own: Settings
) -> None:
    """A page that was taken off search engines would be quoted for good: its ETag stays the same."""
    rules = {"/docs/a": "", "/docs/b": "otherbot: noindex"}

    def answer_of(place: str) -> Any:
        def answer(heads: Any) -> Answer:
            facts = {"ETag": '"1"', "X-Robots-Tag": rules[place]}
            if "if-none-match" in heads:
                return Answer(status=304, headers=facts)
            return Answer(article("x"), headers={"Content-Type": "text/html", **facts})

        return answer

    serve(server, {"sitemap.xml": sitemap(*(server.url + place for place in rules))})
    for place in rules:
        server.routes[place] = answer_of(place)
    first = visit(own, server.url)
    assert list(pages(first)) == [f"{server.url}/docs/a", f"{server.url}/docs/b"]
    rules["/docs/a"] = "noindex"
    assert pages(visit(own, server.url, hashes(first))) == {f"{server.url}/docs/b": False}


def test_sitemaps_with_an_index_and_other_locales(server: WebServer, own: Settings) -> None:
    """Docusaurus writes one sitemap a locale that nothing names: the other languages would be missing."""
    url = server.url
    alternate = f"<link rel=alternate hreflang=fr href={url}/fr/docs/a>" + canonical("/docs/a", url)
    serve(
        server,
        {
            "sitemap.xml": b"<sitemapindex><sitemap><loc>/one.xml</loc></sitemap></sitemapindex>",
            "one.xml": sitemap(f"{url}/docs/a", f"{url}/docs/moved", "https://evil.example/x"),
            "docs/a/index.html": article("a", head=alternate),
            "docs/b/index.html": article("b", head=canonical("/docs/b", url)),
            "fr/sitemap.xml": sitemap(f"{url}/fr/docs/a", f"{url}/fr/docs/none", f"{url}/fr/docs/hidden"),
            "fr/docs/a/index.html": article("a", head=canonical("/fr/docs/a", url)),
        },
    )
    server.routes["/docs/moved"] = Answer(status=301, headers={"Location": "/docs/b"})
    server.routes["/fr/docs/hidden"] = Answer(article("x"), headers={"X-Robots-Tag": "nofollow, noindex"})
    found = visit(own, url)
    assert list(pages(found)) == [f"{url}/docs/a", f"{url}/docs/b", f"{url}/fr/docs/a"]
    assert [line.split(": ")[0] for line in lines(found)] == ["https://evil.example/x", f"{url}/fr/docs/none"]
    server.asked.clear()
    again = visit(own, url, hashes(found))
    assert pages(again) == {f"{url}/docs/a": False, f"{url}/docs/b": False, f"{url}/fr/docs/a": False}


def test_a_page_that_fails_for_now_keeps_its_address(server: WebServer, own: Settings) -> None:
    """A hiccup of the host would remove the page from the index."""
    url = server.url
    serve(server, {"sitemap.xml": sitemap(f"{url}/a", f"{url}/b"), "b/index.html": article("b")})
    server.routes["/a"] = Answer(status=403)
    refused, good = visit(own, url)
    assert isinstance(refused, Refused)
    assert (refused.url, "403" in refused.reason) == (f"{url}/a", True)
    assert isinstance(good, Item)


def two_languages(url: str, slash: str = "") -> dict[str, bytes]:
    """Pages that are listed without a slash; ``slash`` ends the addresses that they give themselves."""

    def head(path: str, other: str) -> str:
        return canonical(path + slash, url) + f"<link rel=alternate hreflang=x href={url}{other}{slash}>"

    return {
        "sitemap.xml": sitemap(f"{url}/docs/a", f"{url}/docs/b"),
        "fr/sitemap.xml": sitemap(f"{url}/fr/docs/a"),
        "docs/a/index.html": article("a", head=head("/docs/a", "/fr/docs/a")),
        "docs/b/index.html": article("b", head=head("/docs/b", "/fr/docs/b")),
        "fr/docs/a/index.html": article("fr", head=head("/fr/docs/a", "/docs/a")),
    }


@pytest.mark.parametrize("status", [404, 403, 503])
def test_a_first_page_that_fails_hides_no_language(server: WebServer, own: Settings, status: int) -> None:
    """One page that does not answer would remove all pages of the other languages."""
    url = server.url
    serve(server, two_languages(url))
    server.routes["/docs/a"] = Answer(status=status)
    with closing(SafeFetcher(url, allowed_hosts=own.site_allowed_hosts, sleep=lambda _seconds: None)) as web:
        found = read(WebSite(web, url))
    assert list(pages(found)) == [f"{url}/docs/b", f"{url}/fr/docs/a"]


def test_a_first_page_that_is_nested_too_deeply_holds_nothing_up(server: WebServer, own: Settings) -> None:
    """One page could hold a run for hours before it began, where no deadline ends it."""
    url = server.url
    serve(server, {**two_languages(url), "docs/a/index.html": article("a", "<div><!--</div>-->" * 100_000)})
    started = time.process_time()
    found = visit(own, url)
    assert time.process_time() - started < 5.0
    assert list(pages(found)) == [f"{url}/docs/b", f"{url}/fr/docs/a"]
    assert lines(found) == [f"{url}/docs/a: {url}/docs/a cannot be read: it is nested too deeply."]


@pytest.mark.parametrize("status", [403, 503])
def test_a_site_none_of_whose_pages_can_be_read_ends_the_run(
    server: WebServer, own: Settings, status: int
) -> None:
    """Nothing would tell the other languages, and all of their pages be removed."""
    url = server.url
    serve(server, two_languages(url))
    server.routes |= dict.fromkeys(("/docs/a", "/docs/b"), Answer(status=status))
    with (
        closing(SafeFetcher(url, allowed_hosts=own.site_allowed_hosts, sleep=lambda _seconds: None)) as web,
        pytest.raises(DependencyError, match=str(status)),
    ):
        read(WebSite(web, url))


def test_pages_may_be_listed_by_other_addresses_than_they_give_themselves(
    server: WebServer, own: Settings
) -> None:
    """With a slash more or less in the sitemap, each run would parse the whole site, find no other language,
    and remove a page that did not answer once.
    """
    url = server.url
    serve(server, two_languages(url, "/"))
    first = visit(own, url)
    named = [f"{url}/docs/a/", f"{url}/docs/b/", f"{url}/fr/docs/a/"]
    assert list(pages(first)) == named
    assert pages(visit(own, url, hashes(first))) == dict.fromkeys(named, False)
    # Cited by another base these are other pages.
    assert set(pages(visit(own, url, hashes(first), SITE)).values()) == {True}
    server.routes["/docs/b"] = Answer(status=503)
    with closing(SafeFetcher(url, allowed_hosts=own.site_allowed_hosts, sleep=lambda _seconds: None)) as web:
        (refused,) = (one for one in read(WebSite(web, url), hashes(first)) if isinstance(one, Refused))
    assert (refused.source, refused.url) == (f"{url}/docs/b", f"{url}/docs/b/")


def test_a_redirect_that_leads_elsewhere_now_is_followed(server: WebServer, own: Settings) -> None:
    """The old page would be kept: "unchanged" was said of another one, by a host that stamps by time."""
    url = server.url

    def answer_of(title: str) -> Any:
        def answer(heads: Any) -> Answer:
            if "if-none-match" in heads:
                return Answer(status=304)
            return Answer(article(title), headers={"Content-Type": "text/html", "ETag": '"1"'})

        return answer

    server.routes |= {"/sitemap.xml": Answer(sitemap(f"{url}/latest"), headers={"Content-Type": "text/xml"})}
    server.routes |= {f"/{number}": answer_of(str(number)) for number in (1, 2)}
    server.routes["/latest"] = Answer(status=302, headers={"Location": "/1"})
    first = visit(own, url)
    assert pages(first) == {f"{url}/1": True}
    assert pages(visit(own, url, hashes(first))) == {f"{url}/1": False}
    server.routes["/latest"] = Answer(status=302, headers={"Location": "/2"})
    assert pages(visit(own, url, hashes(first))) == {f"{url}/2": True}


def test_a_site_that_stops_answering_ends_the_run(server: WebServer, own: Settings) -> None:
    """Every page would be waited for, and the run would say that it succeeded."""
    url = server.url
    serve(server, {"sitemap.xml": sitemap(*(f"{url}/{number}" for number in range(200)))})

    def gone(_heads: Any) -> Answer:
        return Answer(raw=lambda: iter([]))

    server.routes |= {f"/{number}": gone for number in range(200)}
    fetcher = SafeFetcher(
        url, allowed_hosts=own.site_allowed_hosts, per_second=1000.0, sleep=lambda _seconds: None
    )
    with pytest.raises(DependencyError, match="failed") as caught:
        read(WebSite(fetcher, url))
    assert caught.value.retryable
    fetcher.close()
    assert len({path for path in server.asked if path != "/sitemap.xml"}) <= GIVE_UP + 10


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "neither"),
        ({"sitemap.xml": b"<html>"}, "no sitemap"),
        ({"sitemap.xml": sitemap()}, "lists no page"),
        ({"lectern-manifest.json": b"{}"}, "lectern-manifest.json"),
        (
            {"sitemap.xml": b"<sitemapindex><sitemap><loc>/2.xml</loc></sitemap></sitemapindex>"}
            | {
                f"{n}.xml": b"<sitemapindex><sitemap><loc>/%d.xml</loc></sitemap></sitemapindex>" % (n + 1)
                for n in range(2, 9)
            },
            "one sitemap too many",
        ),
    ],
)
def test_a_site_without_a_readable_list_is_named(
    server: WebServer, own: Settings, files: dict[str, bytes], said: str
) -> None:
    """All pages would be taken for removed."""
    serve(server, files)
    with pytest.raises(SourceError, match=said):
        visit(own, server.url)


def test_a_host_for_everything_answers_a_page_instead_of_a_manifest(server: WebServer, own: Settings) -> None:
    """Hosts of single-page applications answer 200 to any path: their sitemap would not be read."""
    serve(
        server,
        {
            "lectern-manifest.json": b"",
            "sitemap.xml": sitemap(f"{server.url}/a"),
            "a/index.html": article("a"),
        },
    )
    server.routes["/lectern-manifest.json"] = Answer(b"<html>")
    assert list(pages(visit(own, server.url))) == [f"{server.url}/a"]


def test_the_address_of_a_sitemap_is_a_place_too(server: WebServer, own: Settings) -> None:
    """A sitemap of another name could not be read."""
    url = server.url
    serve(
        server,
        {"docs/pages.xml": sitemap(f"{url}/docs/a", f"{url}/private/b"), "docs/a/index.html": article("a")},
    )
    found = visit(own, f"{url}/docs/pages.xml")
    assert list(pages(found)) == [f"{url}/docs/a"]
    assert "another site" in lines(found)[0]
    assert "/private/b" not in server.asked


def test_a_prefix_of_a_bucket_is_a_place(own: Settings) -> None:
    """On Google Cloud a build lies in a bucket: it could not be read there."""
    with FakeGcs() as fake, httpx.Client(trust_env=False) as client:
        ready = replace(own, storage_endpoint=fake.endpoint)
        store = small_store(f"gs://{fake.bucket.name}", ready, client)
        for name, data in built(BUILT, manifest=manifest(BUILT)).items():
            store.put(f"www/{name}", data, Deadline.after(20))
        found = visit(ready, f"gs://{fake.bucket.name}/www")
        assert list(pages(found)) == [f"{SITE}/docs/a", f"{SITE}/docs/b"]
        assert set(pages(visit(ready, f"gs://{fake.bucket.name}/www/", hashes(found))).values()) == {False}
        with pytest.raises(SourceError, match="no page"):
            visit(ready, f"gs://{fake.bucket.name}/elsewhere")


def test_without_the_setting_a_local_site_is_refused(server: WebServer) -> None:
    """Whoever may start an ingestion could read the services of the machine."""
    with pytest.raises(Rejected, match="LECTERN_SITE_ALLOWED_HOSTS"):
        visit(settings.load({}), server.url)
    with pytest.raises((Rejected, Unreachable)):
        visit(settings.load({}), f"https://localhost:{server.port}")
    assert server.asked == []
