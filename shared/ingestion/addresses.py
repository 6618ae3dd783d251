"""The address of a page from the place of its file, as the Docusaurus docs plugin gives it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urljoin

from shared.ingestion.front_matter import text_of

_NUMBERED = re.compile(r"^\d+\s*[-_.]+\s*(?P<rest>[^-_.\s].*)$")
# 2024-05 and 1.2 are dates and versions, not places in a sidebar.
_DATED = re.compile(r"^(?:\d{4}|\d{2})[-_.]\d{2}(?:[-_.]\d{2})?|^\d+[-_.]\d+")


def page_address(file: PurePosixPath, head: Mapping[str, Any], base_url: str) -> str:
    """``base_url`` joined with the page's path.

    ``file`` is relative to the folder. Number prefixes go, ``index`` and ``README`` (and a file named like
    its folder) stand for the folder, ``id`` replaces the file's name, ``slug`` the path: the whole of it
    when it begins with a slash.
    """
    parts = [without_number(part) for part in file.parent.parts]
    name = text_of(head, "id") or without_number(file.stem)
    is_folder = name.lower() in ("index", "readme") or (bool(parts) and name == parts[-1])
    path = "/".join(parts if is_folder else [*parts, name])
    slug = text_of(head, "slug")
    if slug:
        path = slug if slug.startswith("/") else posixpath.join(*parts, slug)
    return join_address(base_url, path)


def without_number(part: str) -> str:
    """``02-install`` is ``install``; dates and versions stay."""
    numbered = _NUMBERED.match(part)
    return numbered["rest"] if numbered and not _DATED.match(part) else part


def join_address(base_url: str, path: str) -> str:
    """One slash between the two; ``.`` and ``..`` resolved inside of the base; percent-encoded."""
    clean = posixpath.normpath("/" + path.strip("/"))
    trail = "/" if path.endswith("/") and clean != "/" else ""
    return (
        base_url.rstrip("/")
        + ("/" if clean in ("/", "//") else quote(clean, safe="/%~@:+,;=!$&'()*"))
        + trail
    )


def resolve(base: str, target: str) -> str:
    """Where ``target`` leads from the page at ``base``; ``base`` when it is no address."""
    try:
        return urljoin(base, target)
    except ValueError:
        return base
