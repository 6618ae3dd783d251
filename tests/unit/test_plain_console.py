"""The command line in the image, where `rich` is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shared.cli.main import COMMANDS
from shared.cli.plain import Console, Table, escape

WITHOUT = "import sys; sys.modules['rich'] = None; from shared.cli.main import main; main()"


def test_every_command_starts_without_rich() -> None:
    """Every job would end at its first line: jobs run the command line in an image that has no `rich`."""
    ask = "; ".join(
        [
            "import sys; sys.modules['rich'] = None",
            "from importlib import import_module",
            f"[import_module(f'shared.cli.{{name}}_command').command for name in {list(COMMANDS)}]",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_settings_are_shown_without_rich() -> None:
    """An operator would look into a job's log and find a stack trace."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "config"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "log_level" in done.stdout
    assert "LECTERN_LOG_LEVEL" in done.stdout


def test_styles_are_left_out_and_brackets_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """A log would be full of `[bold red]`, or a message would lose its brackets."""
    Console(stderr=True).print(f"[bold red]error:[/] {escape('a [list] of things')}", soft_wrap=True)
    Console().print("as it [is]", markup=False)
    Console().print()
    table = Table(box=None)
    table.add_column("name", overflow="fold")
    table.add_column("state")
    table.add_row("long name", "[up]")
    Console().print(table)
    written = capsys.readouterr()
    assert written.err == "error: a [list] of things\n"
    assert written.out == "as it [is]\n\nname       state\nlong name  [up]\n"
