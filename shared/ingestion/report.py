"""What an ingestion did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of pages, but for ``chunks`` (passages in the index) and ``embedded`` (texts that were turned
    into vectors by this run). ``refused`` has a line for each page that could not be read, ``warnings`` for
    what failed without harm to the index.
    """

    generation: str
    pages: int
    chunks: int
    added: int
    changed: int
    removed: int
    unchanged: int
    embedded: int
    seconds: float
    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for a person."""
        if self.embedded and not (self.added or self.changed or self.removed):
            return (
                f"The same {self.pages} pages, indexed anew as {self.generation}: "
                f"{self.embedded} texts embedded ({self.seconds:.1f} s)."
            )
        if not (self.added or self.changed or self.removed):
            return f"Nothing has changed: {self.pages} pages, {self.chunks} passages ({self.seconds:.1f} s)."
        return (
            f"{self.pages} pages, {self.chunks} passages: {self.added} added, {self.changed} changed, "
            f"{self.removed} removed, {self.unchanged} unchanged; {self.embedded} texts embedded "
            f"({self.seconds:.1f} s)."
        )
