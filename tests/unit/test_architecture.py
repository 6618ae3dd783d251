"""The arrows between packages: what may import what, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = {"errors", "resilience", "ports"}
DOMAIN = BASE | {"retrieval"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "resilience": {"errors"},
    "ports": {"resilience"},
    "batching": set(),
    "objects": BASE,
    "sql": BASE,
    "declarations": set(),
    "settings": {"declarations", "errors"},
    "retrieval": BASE,
    "telemetry": {"errors", "resilience"},
    "http": {"errors", "telemetry"},
    "access": BASE,
    "answering": DOMAIN,
    "ingestion": DOMAIN,
    "evaluation": DOMAIN,
    "reporting": DOMAIN,
    "delivery": DOMAIN | {"declarations"},
    "recovery": DOMAIN | {"batching", "sql"},
    "adapters": BASE | {"batching", "objects", "access", "sql"},  # access has the port of token verification
    "embedded": BASE | {"objects"},
    "wiring": DOMAIN
    | {
        "settings",
        "telemetry",
        "http",
        "access",
        "answering",
        "ingestion",
        "evaluation",
        "reporting",
        "delivery",
        "recovery",
        "adapters",
        "embedded",
    },
    "cli": {
        "errors",
        "resilience",
        "settings",
        "wiring",
        "answering",
        "delivery",
        "recovery",
        "reporting",
        "telemetry",
    },  # the last four for values
    "functions": {"wiring"},
}
OUTSIDE_DOMAIN = (
    "qdrant_client",
    "google",
    "pg8000",
    "httpx",
    "httpcore",
    "grpc",
    "flask",
    "numpy",
    "onnxruntime",
    "redis",
)


def modules() -> list[Path]:
    return sorted(path for folder in ("shared", "functions") for path in (ROOT / folder).rglob("*.py"))


def part_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "functions" if parts[0] == "functions" else parts[1]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "shared"}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    """A domain package would come to depend on an adapter, and could not be run on the embedded stack."""
    part = part_of(path)
    if part == "__init__":
        return
    used = {name.split(".")[1] for name in imported(path) if name.startswith("shared.")}
    assert used - {part} <= MAY_IMPORT[part], f"{part} must not import {sorted(used - MAY_IMPORT[part])}"
    if part in {
        "answering",
        "ingestion",
        "evaluation",
        "delivery",
        "recovery",
        "retrieval",
        "errors",
        "ports",
        "resilience",
    }:
        sdks = {name for name in imported(path) if name.split(".")[0] in OUTSIDE_DOMAIN}
        assert not sdks, f"{part} is domain code and must not import {sorted(sdks)}"


def reads_environment(tree: ast.Module) -> bool:
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return any(
        node.attr in {"environ", "getenv"} and isinstance(node.value, ast.Name) and node.value.id == "os"
        for node in attributes
    )


def test_only_settings_read_the_environment() -> None:
    """A setting read elsewhere is missing from the reference and from the check at the start."""
    readers = {
        path.relative_to(ROOT).as_posix()
        for path in modules()
        if reads_environment(ast.parse(path.read_text()))
    }
    assert readers <= {"shared/settings.py"}


def test_every_part_has_its_arrows() -> None:
    """A new package would be free of any rule."""
    assert {part_of(path) for path in modules()} - {"__init__"} <= set(MAY_IMPORT)
