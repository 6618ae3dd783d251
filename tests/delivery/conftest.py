"""One place for all tests that release."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.delivery.place import CANARY, Built, Place, place


@pytest.fixture(scope="module")
def somewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place with Google's sample on every service."""
    with place(tmp_path_factory.mktemp("delivery")) as made:
        yield made


@pytest.fixture(scope="module")
def base(somewhere: Place) -> Built:
    """The first release of an empty project: readers are on it."""
    somewhere.canary |= {"steps": [100], "step_seconds": 1, "questions": 10}
    built = somewhere.build()
    done = somewhere.lectern(built, "release", "start", "--commit", built.commit, "--image", built.image)
    assert done.code == 0, done.err
    assert somewhere.one_set() == built.commit[:7]
    somewhere.canary = dict(CANARY)
    return built
