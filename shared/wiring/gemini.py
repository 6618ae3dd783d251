"""Whether the Gemini key works, asked once at the start of ``lectern run``."""

from __future__ import annotations

from shared.errors import LecternError
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.parts import Parts

CHECK_SECONDS = 5.0


def trouble(settings: Settings) -> str:
    """Why the key does not work, in words; empty when it does."""
    with Parts(settings) as parts:
        try:
            made = parts.gemini_embedder()
            made.embed_query("ping", Deadline.after(CHECK_SECONDS))
        except LecternError as error:
            return getattr(error, "detail", error.message)
    return ""
