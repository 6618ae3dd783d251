"""How a Gemini that fails must look from behind either port, whichever client is used."""

from __future__ import annotations

from shared.embedded.fake_gemini import Fault
from shared.errors import (
    DependencyError,
    Garbled,
    Overloaded,
    Throttled,
    TimedOut,
)

KEY = "fake-key"

BOTH_PORTS: dict[str, tuple[Fault, type[DependencyError]]] = {
    "throttled": (Fault(status=429, retry_delay="7.5s"), Throttled),
    "internal error": (Fault(status=500), Overloaded),
    "unavailable": (Fault(status=503), Overloaded),
    "not JSON": (Fault(malformed=True), Garbled),
    "black hole": (Fault(black_hole=True), TimedOut),
    "late first byte": (Fault(first_byte_delay=5), TimedOut),
    "one byte now and then": (Fault(trickle=True, chunk_delay=0.05), TimedOut),
}
