"""Terraform's own checks, by the real Terraform: form, types, a plan of each environment, and its tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.terraform.workspace import ENVIRONMENTS, HOW_TO_GET, ROOT, Workspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_the_files_are_formatted(workspace: Workspace) -> None:
    """A change of one word would come with a hundred lines of shifted blanks."""
    assert workspace.must("fmt", "-check", "-recursive", "-diff") == ""


def test_the_configuration_is_valid(workspace: Workspace) -> None:
    """An operator would meet a misspelt attribute in the middle of an apply."""
    assert "Success! The configuration is valid." in workspace.must("validate")


def test_every_variable_is_read() -> None:
    """An operator would set something that changes nothing; Terraform itself does not say so."""
    unread = []
    for folder in {file.parent for file in (ROOT / "terraform").rglob("variables.tf")}:
        text = "".join(file.read_text() for file in sorted(folder.glob("*.tf")))
        names = re.findall(r'^variable "(\w+)"', text, re.MULTILINE)
        unread += [f"{folder.name}: {name}" for name in names if not re.search(rf"\bvar\.{name}\b", text)]
    assert unread == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_environment_has_a_plan(plans: dict[str, dict[str, Any]], environment: str) -> None:
    """The first apply in an empty project would fail."""
    changes = plans[environment]["resource_changes"]
    assert {tuple(one["change"]["actions"]) for one in changes if one["mode"] == "managed"} == {("create",)}


def test_terraforms_own_tests_pass(workspace: Workspace) -> None:
    """A module would do something else than its variables say."""
    out = workspace.must("test")
    counts = re.search(r"Success! (\d+) passed, 0 failed", out)
    assert counts, out
    assert int(counts[1]) >= 15, "tests were lost"


def test_without_terraform_the_checks_fail_and_say_how_to_get_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A machine without Terraform would report success for checks that did not run."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssertionError) as caught:
        workspace.run("version")
    assert HOW_TO_GET in str(caught.value)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_each_environment_has_its_own_state(environment: str) -> None:
    """An apply in staging would take production's resources for its own."""
    text = (ROOT / "terraform" / "backends" / f"{environment}.gcs.tfbackend").read_text()
    assert f'"lectern-{environment}-terraform"' in text
