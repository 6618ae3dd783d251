"""A site over HTTP in the index: what readers see after it changed, failed or went away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared import settings
from shared.errors import DependencyError
from shared.retrieval.chunks import STATISTICS_ID
from shared.settings import Settings
from shared.wiring import ingest
from shared.wiring.stack import services
from tests.functions.test_sources import BUILT, article, built, manifest, serve, sitemap
from tests.local_stack import live_points
from tests.web_server import Answer, WebServer, web_server


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with services(settings.load({}, home=str(tmp_path_factory.mktemp("web")), embedder="none")) as ready:
        local = replace(ready.settings, site_allowed_hosts=("127.0.0.1",), site_requests_per_second=1000.0)
        yield replace(local, removal_limit=1.0)  # each test has a site of its own


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


def texts(own: Settings) -> dict[str, str]:
    """The passages of the index by the path of their page."""
    points = [point for point in live_points(own) if point.id != STATISTICS_ID]
    return {str(one.payload["url"]).partition("/docs/")[2]: str(one.payload["text"]) for one in points}


def test_a_site_by_its_manifest(own: Settings, server: WebServer) -> None:
    """An edit would not arrive, a removed page stay, or every page be fetched again."""
    place = f"{server.url}/"
    serve(server, built(BUILT, manifest=manifest(BUILT)))
    first = ingest.run(own, place)
    assert (first.added, texts(own)) == (2, {"a": "Text.", "b": "Text."})
    server.asked.clear()
    second = ingest.run(own, place)
    assert (second.unchanged, second.changed, server.asked) == (2, 0, ["/lectern-manifest.json"])
    edited = {"docs/a": BUILT["docs/a"].replace(b"Text.", b"New."), "docs/c": article("c")}
    serve(server, built(edited, manifest=manifest(edited)))
    third = ingest.run(own, place)
    assert (third.added, third.changed, third.removed) == (1, 1, 1)
    assert texts(own) == {"a": "New.", "c": "Text."}


def test_what_fails_for_now_stays_and_what_is_gone_goes(own: Settings, server: WebServer) -> None:
    """A hiccup of the host would take pages out of the answers, and a deleted page would stay in them."""
    place = server.url
    pages = {f"docs/{name}": article(name, f"<p>Text of {name}.") for name in "abcdef"}
    listed = sitemap(*(f"{place}/{name}" for name in pages))
    serve(server, built(pages, sitemap=listed))
    ingest.run(own, place)
    server.routes["/docs/b"] = Answer(status=403)
    server.routes["/docs/c"] = Answer(b"<p>maintenance")
    server.routes["/docs/d"] = Answer(status=410)
    report = ingest.run(own, place)
    assert (report.changed, report.removed, report.unchanged) == (0, 1, 5)
    assert [line.split(": ")[0].rpartition("/")[2] for line in report.refused] == ["b", "c", "d"]
    assert set(texts(own)) == {"a", "b", "c", "e", "f"}


def test_a_site_that_is_down_changes_nothing(own: Settings, server: WebServer) -> None:
    """An outage of the host would empty the index."""
    place = server.url
    serve(server, built(BUILT, manifest=manifest(BUILT)))
    ingest.run(own, place)
    before = texts(own)
    server.routes["/lectern-manifest.json"] = Answer(status=401)
    with pytest.raises(DependencyError, match="401"):
        ingest.run(own, place)
    assert texts(own) == before
