"""The handbook's own site, as cloudbuild.yaml builds it, and what ingestion would read of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from shared.settings import ROOT
from tests.e2e.docusaurus.building import SITE, packages

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``site/build`` of a copy, whose packages are those of the other site: both lock the same."""
    with packages() as home:
        folder = home / "handbook"
        shutil.rmtree(folder, ignore_errors=True)
        for part in ("site", "docs", "widget/plugin"):
            ignored = shutil.ignore_patterns("node_modules", "build", ".docusaurus")
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
        done = subprocess.run(
            ["node", home / "node_modules/@docusaurus/core/bin/docusaurus.mjs", "build"],
            cwd=folder / "site",
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return folder / "site" / "build"


def test_both_sites_lock_the_same_packages() -> None:
    """The site would be built from packages that no test has built with."""
    texts = [(folder / "package-lock.json").read_text() for folder in (SITE, ROOT / "site")]
    ours, theirs = (json.loads(text)["packages"] for text in texts)
    assert {name: one for name, one in ours.items() if name} == {
        name: one for name, one in theirs.items() if name
    }


def test_the_manifest_names_every_page_of_the_handbook(built: Path) -> None:
    """Ingestion after a release would miss pages, or would read each one again every time."""
    manifest = json.loads((built / "lectern-manifest.json").read_text())
    listed = {page["permalink"].rstrip("/") for page in manifest["pages"] if page["kind"] == "doc"}
    files = [path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")]
    assert listed == {f"/docs/{path}".removesuffix("/index") for path in files}
    for page in manifest["pages"]:
        assert (built / page["html"]).is_file()
