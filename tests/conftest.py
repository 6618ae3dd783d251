"""Options and fixtures that every suite shares."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from shared.settings import declarations
from tests.contract.summary import pytest_itemcollected, pytest_terminal_summary

__all__ = ["pytest_itemcollected", "pytest_terminal_summary"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the long forms of fault, kill and fuzz tests")
    parser.addoption("--e2e", action="store_true", help="run what needs chromium, npm or apt packages")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect (not skip) what was not asked for, so that the count printed is what ran."""
    unwanted = [name for name in ("full", "e2e") if not config.getoption(f"--{name}")]
    dropped = [item for item in items if any(item.get_closest_marker(name) for name in unwanted)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_outside() -> Iterator[None]:
    """Take away the settings of whoever runs the tests, which would lead them to services of his.

    Contract suites that run on a real service when its address is given read it when they are imported.
    """
    known = {one.env for one in declarations()}
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name in known or name.startswith("LECTERN_"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether the long form was asked for."""
    return bool(pytestconfig.getoption("--full"))
