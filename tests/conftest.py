"""Options and fixtures that every suite shares."""

from __future__ import annotations

import pytest

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


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether the long form was asked for."""
    return bool(pytestconfig.getoption("--full"))
