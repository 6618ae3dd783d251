"""What a site vouches for a page by: an ETag or a date, with the place that it was said of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shared.ingestion.digests import place_digest, source_digest
from shared.ports import Fetched


@dataclass(frozen=True, slots=True)
class Validator:
    """``value`` is what the site said of the page that it listed as ``place`` and that came from ``end``,
    after redirects; both are digests.
    """

    kind: Literal["etag", "modified"]
    place: str
    end: str
    value: str

    @property
    def etag(self) -> str:
        return self.value if self.kind == "etag" else ""

    @property
    def modified(self) -> str:
        return self.value if self.kind == "modified" else ""

    def holds_for(self, found: Fetched) -> bool:
        """Whether "unchanged" was said by whom the validator is from: a redirect may lead elsewhere now."""
        return place_digest(found.url) == self.end


def hash_of(place: str, found: Fetched) -> str:
    """What stands for the page listed as ``place``: what the site vouches for, else a digest of the bytes."""
    for kind, value in (("etag", found.etag), ("modified", found.modified)):
        if value:
            return f"{kind}:{place_digest(place)}:{place_digest(found.url)}:{value}"
    return source_digest("bytes", place, found.url, data=found.body)


NOTHING = Validator("etag", "", "", "")
"""That of a page which the site vouched for by nothing."""


def validator_of(hashed: str) -> Validator:
    """The validator in a hash that :func:`hash_of` made; :data:`NOTHING` where it has none."""
    kind, *rest = hashed.split(":", 3)
    if len(rest) != 3 or kind not in ("etag", "modified"):  # noqa: PLR2004 - place, end, value
        return NOTHING
    return Validator("etag" if kind == "etag" else "modified", *rest)
