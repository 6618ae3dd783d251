"""Gemini at the start of ``lectern run``: whether the key works, and a stand-in to try it without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from shared.errors import LecternError
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.parts import Parts, embedder_kind, writes_answers

CHECK_SECONDS = 5.0


def settled(settings: Settings) -> tuple[Settings, str]:
    """The settings to run with and one line that says what they mean for answers.

    The key is tried once. When it does not work it is left out, so that whatever is on ``auto`` takes the
    next best way.
    """
    if not settings.gemini_api_key:
        return settings, f"No GEMINI_API_KEY: {_meaning(settings)}."
    trouble = _trouble(settings)
    if not trouble:
        return settings, f"GEMINI_API_KEY works: {_meaning(settings)}."
    without = replace(settings, gemini_api_key="")
    return without, f"GEMINI_API_KEY does not work ({trouble}): {_meaning(without)}."


def _meaning(settings: Settings) -> str:
    vectors = {
        "local": "meaning is searched with the local model",
        "gemini": f"meaning is searched with {settings.gemini_embedding_model}",
        "none": "words alone are searched (no embedding model is installed)",
    }[embedder_kind(settings)]
    written = f"{settings.gemini_model} writes answers" if writes_answers(settings) else "answers are quotes"
    return f"{written}; {vectors}"


def _trouble(settings: Settings) -> str:
    """Why the key does not work, in words; empty when it does."""
    with Parts(settings) as parts:
        try:
            parts.gemini_embedder().embed_query("ping", Deadline.after(CHECK_SECONDS))
        except LecternError as error:
            return str(getattr(error, "detail", error.message))
    return ""


@contextmanager
def stand_in(settings: Settings) -> Iterator[tuple[Settings, str]]:
    """The same with a local stand-in for Gemini, which runs as long as the context."""
    from shared.embedded.fake_gemini import FakeGemini

    with FakeGemini(api_key=None) as fake:
        made = replace(
            settings,
            gemini_api_key="stand-in",
            gemini_base_url=fake.base_url,
            embedder="gemini",
            generator="gemini",
        )
        yield made, "A stand-in for Gemini writes answers and makes vectors: for trying it, not for quality."
