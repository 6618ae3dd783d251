"""The tests themselves do not depend on who runs them."""

from __future__ import annotations

import os
import subprocess
import sys

from shared.settings import ROOT, declarations, load


def test_no_setting_of_outside_is_seen() -> None:
    """A developer who works with staging in the same shell would have its bucket written by tests."""
    assert not {one.env for one in declarations()} & set(os.environ)
    assert load().environment == "development"


def test_settings_of_outside_change_nothing() -> None:
    """The test above holds by itself where nothing is set, so it is run where something is."""
    name = f"{__file__}::{test_no_setting_of_outside_is_seen.__name__}"
    outside = {"LECTERN_ENV": "staging", "STORAGE_BUCKET": "gs://of-somebody", "LECTERN_NOT_A_SETTING": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", name],
        cwd=ROOT,
        env={**os.environ, **outside},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
