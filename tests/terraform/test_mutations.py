"""Every name of the provider's that the files use, misspelt once: each must be noticed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.terraform.mutations import Place, places
from tests.terraform.stub.server import serving
from tests.terraform.workspace import ENVIRONMENTS, SPENT, Workspace, lay_out

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("spoiled")
    with serving(folder) as environ:
        made = lay_out(folder, environ)
        made.must("init", "-input=false")
        yield made


def noticed(
    workspace: Workspace, wrong: Iterable[Place], find: Callable[[Workspace], list[Any]]
) -> set[tuple[Path, int]]:
    """Rename all of these at once; gives the lines on which something was found. Restores the files."""
    by_file: dict[Path, list[Place]] = defaultdict(list)
    for place in wrong:
        by_file[place.file].append(place)
    texts = {file: file.read_text() for file in by_file}
    for file, inside in by_file.items():
        text = texts[file]
        for place in inside:
            text = place.renamed(text)
        file.write_text(text)
    try:
        found = find(workspace)
    finally:
        for file, text in texts.items():
            file.write_text(text)
    return {
        (workspace.root / one["range"]["filename"], one["range"]["start"]["line"])
        for one in found
        if one["summary"] in {"Unsupported argument", "Unsupported block type"} and one.get("range")
    }


def validated(workspace: Workspace) -> list[Any]:
    return list(json.loads(workspace.run("validate", "-json").out)["diagnostics"])


def planned(workspace: Workspace) -> list[Any]:
    lines = workspace.run("plan", "-json", "-lock=false", *ENVIRONMENTS["everything"]).out.splitlines()
    return [line["diagnostic"] for line in map(json.loads, lines) if line["type"] == "diagnostic"]


def left_over(
    workspace: Workspace, wrong: list[Place], find: Callable[[Workspace], list[Any]]
) -> list[Place]:
    """What was not noticed. All at once first; a name that an error around it hides is renamed again in the
    next round, until a round finds nothing new.
    """
    while wrong:
        lines = noticed(workspace, wrong, find)
        rest = [place for place in wrong if (place.file, place.line) not in lines]
        if len(rest) == len(wrong):
            break
        wrong = rest
    return wrong


def test_every_misspelt_name_is_noticed(spoiled: Workspace) -> None:
    """An attribute that the provider does not have would be met in the middle of an apply.

    Blocks of a set whose number is not known before there are variables are looked into by plan alone.
    """
    everything = places(spoiled.root)
    hidden = left_over(spoiled, everything, validated)
    left = left_over(spoiled, hidden, planned)
    caught, by_validate = len(everything) - len(left), len(everything) - len(hidden)
    SPENT.say(f"mutations: {caught} of {len(everything)} renames noticed, {by_validate} of them by validate")
    assert left == []
    assert len(everything) > 500


def test_nothing_is_noticed_in_files_as_they_are(spoiled: Workspace) -> None:
    """The test above could count errors that were there before."""
    assert noticed(spoiled, [], validated) == set()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("modules/function/main.tf", '"INGRESS_TRAFFIC_ALL"', '"INGRESS_ALL"'),
        ("modules/function/main.tf", "deletion_protection = var.protected", 'deletion_protection = "often"'),
        ("modules/function/main.tf", "  name                = var.name\n", ""),
        ("modules/data_bucket/main.tf", "  versioning {\n    enabled = true\n  }\n", "  versioning {}\n"),
        ("modules/secrets/main.tf", "    auto {}\n", "    auto {}\n    auto {}\n"),
        ("modules/network/main.tf", 'direction     = "INGRESS"', 'direction     = "IN"'),
        ("modules/monitoring/alerts.tf", 'comparison      = "COMPARISON_GT"', 'comparison      = ["a"]'),
    ],
)
def test_wrong_types_and_values_are_noticed(spoiled: Workspace, file: str, old: str, new: str) -> None:
    """A value that the provider refuses would be met in the middle of an apply."""
    path = spoiled.root / file
    text = path.read_text()
    assert old in text
    try:
        path.write_text(text.replace(old, new, 1))
        assert spoiled.run("validate").code == 1
    finally:
        path.write_text(text)
