"""What tokens cost. The figures are settings: they change, and differ by model."""

from __future__ import annotations

from dataclasses import dataclass

from shared.ports import Usage


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens."""

    input_usd_per_million: float = 0.0
    output_usd_per_million: float = 0.0

    def usage(self, input_tokens: int, output_tokens: int) -> Usage:
        """The tokens of one call with what they cost."""
        dollars = input_tokens * self.input_usd_per_million + output_tokens * self.output_usd_per_million
        return Usage(input_tokens, output_tokens, dollars / 1_000_000)
