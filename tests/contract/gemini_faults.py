"""How a Gemini that fails must look from behind either port, whichever client is used."""

from __future__ import annotations

from shared.adapters.gemini.generativeai import GenerativeAIEmbedder
from shared.embedded.fake_gemini import FakeGemini, Fault
from shared.errors import (
    DependencyError,
    Garbled,
    Overloaded,
    Throttled,
    TimedOut,
)
from shared.resilience.deadline import Deadline

KEY = "fake-key"


def load_package(fake: FakeGemini) -> None:
    """Import google-generativeai now: on a busy machine that takes longer than a test's short deadline."""
    client = GenerativeAIEmbedder(KEY, "gemini-embedding-001", base_url=fake.base_url)
    client.embed_query("hello", Deadline.after(60))
    client.close()


BOTH_PORTS: dict[str, tuple[Fault, type[DependencyError]]] = {
    "throttled": (Fault(status=429, retry_delay="7.5s"), Throttled),
    "internal error": (Fault(status=500), Overloaded),
    "unavailable": (Fault(status=503), Overloaded),
    "not JSON": (Fault(malformed=True), Garbled),
    "black hole": (Fault(black_hole=True), TimedOut),
    "late first byte": (Fault(first_byte_delay=5), TimedOut),
    "one byte now and then": (Fault(trickle=True, chunk_delay=0.05), TimedOut),
}
