"""How commands speak: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from shared.errors import LecternError, SettingsError

try:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
except ImportError:  # in the image, where the command line runs in jobs
    from shared.cli.plain import Console, Table, escape  # type: ignore[assignment]

__all__ = ["Table", "bar", "command_errors", "emit_json", "err", "escape", "json_option", "out", "say"]

P = ParamSpec("P")
R = TypeVar("R")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object for machines.")


def emit_json(value: Any) -> None:
    """One line of JSON on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    """A line about what is going on, on standard error."""
    err.print(text, markup=False, soft_wrap=True)


def command_errors(work: Callable[P, R]) -> Callable[P, R]:
    """Turn Lectern's errors into words (or JSON) and exit code 1, 2 for settings."""

    @wraps(work)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(*args, **kwargs)
        except LecternError as error:
            _report(error, as_json=bool(kwargs.get("as_json")))
            raise SystemExit(2 if isinstance(error, SettingsError) else 1) from error

    return guarded


def _report(error: LecternError, *, as_json: bool) -> None:
    if as_json:
        emit_json({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
        return
    err.print(f"[bold red]error:[/] {_plain(error.message)}", soft_wrap=True)
    if error.hint:
        err.print(f"[dim]next:[/]  {_plain(error.hint)}", soft_wrap=True)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


@contextmanager
def bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error; the yielded function takes (done, total).

    Where standard error is not a terminal, a line is printed at each tenth instead.
    """
    if not err.is_terminal:
        yield _tenths(title)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _tenths(title: str) -> Callable[[int, int], None]:
    last = -1

    def update(done: int, total: int) -> None:
        nonlocal last
        tenth = 10 * done // max(total, 1)
        if tenth > last:
            last = tenth
            say(f"{title} {done}/{total}")

    return update
