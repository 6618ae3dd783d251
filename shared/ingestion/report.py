"""What an ingestion did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of pages, but for ``chunks`` (passages in the index) and ``embedded`` (texts that were turned
    into vectors by this run, in ``calls`` for ``tokens`` that cost ``usd``). ``refused`` has a line for each
    page that could not be read, ``warnings`` for what failed without harm to the index.
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
    run: str = ""
    calls: int = 0
    tokens: int = 0
    usd: float = 0.0

    def summary(self) -> str:
        """One line for a person."""
        paid = f", {self.tokens} tokens for {self.usd:.4f} USD" if self.usd else ""
        if self.embedded and not (self.added or self.changed or self.removed):
            return (
                f"The same {self.pages} pages, indexed anew as {self.generation}: "
                f"{self.embedded} texts embedded{paid} ({self.seconds:.1f} s)."
            )
        if not (self.added or self.changed or self.removed):
            return f"Nothing has changed: {self.pages} pages, {self.chunks} passages ({self.seconds:.1f} s)."
        return (
            f"{self.pages} pages, {self.chunks} passages: {self.added} added, {self.changed} changed, "
            f"{self.removed} removed, {self.unchanged} unchanged; {self.embedded} texts embedded{paid} "
            f"({self.seconds:.1f} s)."
        )
