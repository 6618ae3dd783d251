"""checkov's rules for Google Cloud; each exception stands in the file that it is for, with its reason."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.terraform.workspace import ROOT, SPENT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
PROGRAM = ROOT / ".venv-tools" / "bin" / "checkov"


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    assert PROGRAM.exists(), "checkov is not installed; `make check-terraform` installs it"
    done = subprocess.run(
        [PROGRAM, "-d", "terraform", "--framework", "terraform", "--skip-download", "-o", "json", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = json.loads(done.stdout)
    return dict(found if isinstance(found, dict) else found[0])


def test_no_rule_is_broken(report: dict[str, Any]) -> None:
    """A known mistake would be deployed."""
    summary = report["summary"]
    SPENT.say(
        f"checkov {summary['checkov_version']}: {summary['passed']} passed, {summary['failed']} failed, "
        f"{summary['skipped']} explained exceptions"
    )
    failed = [f"{one['check_id']} {one['resource']}" for one in report["results"]["failed_checks"]]
    assert failed == []
    assert summary["parsing_errors"] == 0
    assert summary["resource_count"] > 50, "the folder was not read"


def test_each_exception_has_its_reason(report: dict[str, Any]) -> None:
    """Nobody could tell a decision from a rule that was in the way."""
    for one in report["results"].get("skipped_checks", []):
        assert len(one["check_result"]["suppress_comment"]) > 40, one["check_id"]
