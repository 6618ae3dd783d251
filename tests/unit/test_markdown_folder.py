"""Folders: which files are pages, and which address each page has."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from shared.errors import SourceError
from shared.ingestion.addresses import page_address
from shared.ingestion.sources import LARGEST_FILE, read_folder

BASE = "https://acme.dev/docs"
HTML = (
    "<!doctype html><html lang=en><head><link rel=canonical href=https://old.dev/base/{path} /></head>"
    "<body><main><article><div class=theme-doc-markdown><h1>{path}</h1><p>Text.</div></article></main>"
)


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


@pytest.mark.parametrize(
    ("file", "head", "path"),
    [
        ("intro.md", {}, "/intro"),
        ("02-guides/01 - set-up.mdx", {}, "/guides/set-up"),
        ("2024-05-notes.md", {}, "/2024-05-notes"),
        ("1.2-migration.md", {}, "/1.2-migration"),
        ("index.md", {}, "/"),
        ("guides/README.md", {}, "/guides"),
        ("guides/guides.md", {}, "/guides"),
        ("guides/a.md", {"id": "b"}, "/guides/b"),
        ("guides/a.md", {"slug": "/other/place"}, "/other/place"),
        ("guides/a.md", {"slug": "near"}, "/guides/near"),
        ("guides/a.md", {"slug": "../../../up"}, "/up"),
        ("guides/a.md", {"slug": "/"}, "/"),
        ("guides/a.md", {"slug": "/with/slash/"}, "/with/slash/"),
        ("guides/a b.md", {}, "/guides/a%20b"),
    ],
)
def test_addresses_follow_docusaurus(file: str, head: dict[str, str], path: str) -> None:
    """Citations would open pages that do not exist."""
    assert page_address(PurePosixPath(file), head, BASE + "/") == BASE + path


def test_a_folder_of_markdown(tmp_path: Path) -> None:
    """Drafts would be quoted, partials cited, or one bad file would stop all the others."""
    write(
        tmp_path,
        {
            "index.md": "# Home\n",
            "02-guide.mdx": "Text.\n",
            "draft.md": "---\ndraft: true\n---\nSecret\n",
            "hidden.md": "---\nunlisted: true\n---\nSecret\n",
            "_partial.md": "Part\n",
            "_parts/a.md": "Part\n",
            "node_modules/x/README.md": "Other\n",
            ".git/x.md": "Other\n",
            "broken.md": "---\na: [\n---\n",
            "latin.md": "é".encode("latin-1"),
            "huge.md": b"x" * (LARGEST_FILE + 1),
            "same.md": "---\nslug: /guide\n---\nAgain\n",
            "image.png": b"\x89",
        },
    )
    (tmp_path / "loop").symlink_to(tmp_path)
    seen: list[tuple[str, int, int]] = []
    folder = read_folder(tmp_path, BASE, lambda *step: seen.append(step))
    assert [(page.url, page.title) for page in folder] == [(f"{BASE}/guide", "guide"), (f"{BASE}/", "Home")]
    assert [one.source for one in folder.refused] == ["broken.md", "huge.md", "latin.md", "same.md"]
    assert "02-guide.mdx" in folder.refused[-1].reason
    assert seen[-1] == ("reading", 8, 8)


def test_a_built_site(tmp_path: Path) -> None:
    """Pages that the site leaves out of its sitemap would be quoted, or found under the build's address."""
    listed = ("guide", "fr/guide")
    write(tmp_path, {f"{path}/index.html": HTML.format(path=path) for path in (*listed, "secret")})
    write(
        tmp_path, {"404.html": HTML.format(path="404.html"), "empty.html": "", "guide/a.md": "# Not a page\n"}
    )
    locations = "".join(f"<url><loc>https://old.dev/base/{path}</loc></url>" for path in listed[:1])
    french = f"<urlset><url><loc>https://old.dev/base/{listed[1]}</loc></url></urlset>"
    write(tmp_path, {"sitemap.xml": f"<urlset>{locations}</urlset>", "fr/sitemap.xml": french})
    folder = read_folder(tmp_path)
    assert [page.url for page in folder] == ["https://old.dev/base/fr/guide", "https://old.dev/base/guide"]
    assert [one.source for one in folder.refused] == ["empty.html"]
    assert [page.url for page in read_folder(tmp_path, "https://new.dev")] == [
        "https://new.dev/fr/guide",
        "https://new.dev/guide",
    ]


@pytest.mark.parametrize("files", [{}, {"a.txt": "text"}, {"_only.md": "partial"}])
def test_a_folder_without_pages_is_named(tmp_path: Path, files: dict[str, str | bytes]) -> None:
    """An empty index would replace a good one because of a wrong path."""
    with pytest.raises(SourceError, match="no page") as caught:
        read_folder(write(tmp_path, files))
    assert str(tmp_path) in caught.value.message


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    """The message would be a stack trace."""
    with pytest.raises(SourceError, match="not a folder"):
        read_folder(tmp_path / "nothing")
