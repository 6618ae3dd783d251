"""One small stack for all tests of functions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.settings import Settings
from tests.local_stack import filled_stack, write_site


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A running stack that holds the orchard's documentation."""
    folder = tmp_path_factory.mktemp("functions")
    with filled_stack(folder / "home", write_site(folder / "site")) as ready:
        yield ready
