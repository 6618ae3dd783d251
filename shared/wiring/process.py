"""The settings of this process: read once, or handed over by the command that serves all functions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from shared import settings as settings_module
from shared.errors import SettingsError
from shared.settings import Settings
from shared.telemetry.logs import Logger

_settings: Settings | None = None
_write: Callable[[str], object] | None = None


def use(settings: Settings, write: Callable[[str], object]) -> None:
    """Let every function of this process run on these settings instead of the environment's, and log
    through ``write`` instead of standard output.
    """
    global _settings, _write
    _settings, _write = settings, write


def logger(name: str) -> Logger:
    """The log of one function."""
    return Logger(name, level=current().log_level, write=_write)


def current(require: Sequence[str] = ()) -> Settings:
    """The process's settings. Called when a function's module is loaded: a mistake ends the process with
    all problems in words, before a request can meet it.
    """
    global _settings
    if _settings is None:
        try:
            _settings = settings_module.load(require=require)
        except SettingsError as error:
            _end(error)
    return _settings


def check(work: Callable[[Settings], object], require: Sequence[str] = ()) -> None:
    """Run what finds mistakes among several settings, with :func:`current`'s way to report them."""
    try:
        work(current(require))
    except SettingsError as error:
        _end(error)


def _end(error: SettingsError) -> NoReturn:
    print(str(error), file=sys.stderr, flush=True)  # noqa: T201 - the log of a process that cannot start
    raise SystemExit(2) from error
