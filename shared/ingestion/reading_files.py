"""Reads files whose addresses only their content tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from shared.errors import SourceError
from shared.ingestion.ahead import in_order
from shared.ingestion.digests import place_digest, place_of, source_digest
from shared.ingestion.files import File, Files
from shared.ingestion.site import Item, Known, Progress, Refused, Share
from shared.retrieval.chunks import Page

Parse = Callable[[str, str], Page | None]
"""The page of a text and its file's name; None for one that must not be found."""


class FilePages:
    """Turns files into pages by ``parse``. ``facts`` are what a page depends on beside its bytes: the first
    is the kind of the source.
    """

    def __init__(self, files: Files, facts: tuple[str, ...], parse: Parse) -> None:
        self._files = files
        self._facts = facts
        self._parse = parse

    def items(
        self,
        files: Sequence[File],
        known: Known,
        share: Share,
        progress: Progress,
        *,
        is_wanted: Callable[[str], bool] = lambda _url: True,
    ) -> Iterator[Item | Refused]:
        """The pages of these files. ``is_wanted`` tells of an address that is known whether its page may
        still be found.
        """
        seen = {hashed: url for url, hashed in known.items() if hashed and is_wanted(url)}
        addresses = {place: url for hashed, url in seen.items() if (place := place_of(hashed))}

        def one(file: File) -> Item | Refused | None:
            return self._item(file, seen, addresses) if share(file.name) else None

        for done, found in enumerate(in_order(one, files, self._files.readers), 1):
            if found is not None:
                yield found
            progress("reading", done, len(files))

    def _item(
        self, file: File, seen: Mapping[str, str], addresses: Mapping[str, str]
    ) -> Item | Refused | None:
        kind, *facts = self._facts
        # What was read from this file before is told apart from what is gone: it may be whole again soon.
        before = addresses.get(place_digest(file.name), "")
        try:
            data = b"" if file.stamp else self._files.read(file)
            hashed = source_digest(kind, file.name, *facts, file.stamp, data=data)
            if hashed in seen:
                return Item(file.name, seen[hashed], hashed, None)
            page = self._parse(decoded(data or self._files.read(file), file.name), file.name)
        except SourceError as error:
            return Refused(file.name, error.message, before)
        except RecursionError:
            return Refused(file.name, "it is nested too deeply", before)
        return Item(file.name, page.url, hashed, page) if page is not None else None


def decoded(data: bytes, source: str) -> str:
    """The text. Raises :class:`~shared.errors.SourceError`, naming ``source``, when it is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"{source} is not UTF-8 (byte {error.start}).", hint="Save it as UTF-8.") from error
