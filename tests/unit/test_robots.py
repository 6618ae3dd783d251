"""Which rules for robots leave a page out."""

from __future__ import annotations

import pytest

from shared.ingestion.robots import is_hidden


@pytest.mark.parametrize(
    "rules",
    [
        "noindex",
        "NONE",
        "index, noindex",
        "nofollow,noindex",
        "nofollow noindex",
        "*: noindex",
        "Lectern: nofollow, noindex",
        "otherbot: nofollow\nnoindex",
        "otherbot: nofollow, lectern: noindex",
        "max-snippet:-1,noindex",
        "unavailable_after: Friday, 25-Jun-10 15:00:00 UTC, noindex",
        "noindex: true",
    ],
)
def test_pages_that_must_not_be_listed_are_hidden(rules: str) -> None:
    """Readers would be quoted a page that its site hides."""
    assert is_hidden(rules)


@pytest.mark.parametrize(
    "rules",
    [
        "",
        "all",
        "index, follow, noarchive",
        "otherbot: noindex",
        "otherbot: noindex, none",
        "nofollow\notherbot: none",
        "max-image-preview: none",
        "max-image-preview:none, max-snippet:-1",
        "noindexing",
        ": :,,:",
    ],
)
def test_rules_for_other_robots_and_other_things_hide_nothing(rules: str) -> None:
    """A page that one search engine must not list would be missing from the answers."""
    assert not is_hidden(rules)
