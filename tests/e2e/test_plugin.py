"""The Docusaurus plugin's own tests, under Node.

Needs npm from apt: ``apt-get install npm``.
"""

from __future__ import annotations

import subprocess

import pytest

from shared.settings import ROOT

pytestmark = pytest.mark.e2e


def test_the_plugins_own_tests_pass() -> None:
    """A manifest that tells what the site hides, or changes with every build, would be shipped."""
    done = subprocess.run(
        ["node", "--test", "test/"],
        cwd=ROOT / "widget" / "plugin",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
    assert "# tests 0" not in done.stdout
