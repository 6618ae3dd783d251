"""Hashes of what pages were read from."""

from __future__ import annotations

import pytest

from shared.ingestion.digests import place_alone, place_digest, place_of, source_digest
from shared.ingestion.validators import NOTHING, validator_of


@pytest.mark.parametrize(
    "hashed",
    [
        source_digest("markdown", "a.md", data=b"text"),
        f'etag:{place_digest("a.md")}:{place_digest("https://site/a")}:"v1"',
        f"modified:{place_digest('a.md')}:{place_digest('https://site/a')}:Tue, 24 Nov 2026 00:00:00 GMT",
    ],
)
def test_a_place_alone_tells_the_address_and_vouches_for_nothing(hashed: str) -> None:
    """A page would be called unchanged that a new generation does not have."""
    alone = place_alone(hashed)
    assert (place_of(alone), validator_of(alone)) == (place_digest("a.md"), NOTHING)
    assert alone != hashed
    assert place_alone(alone) == alone


def test_a_hash_that_tells_no_place_gives_none() -> None:
    """A page whose manifest vouches for it would be taken for one of another place."""
    assert place_alone("manifest:0123") == place_alone("") == ""
