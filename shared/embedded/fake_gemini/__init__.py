"""A stand-in for Gemini on this machine, for tests and for ``make run --fake-gemini``.

It speaks the wire of the real service (both forms), and fails on demand. What it says is not
intelligence: vectors are hashed words, answers are sentences of the passages in the prompt.
"""

from shared.embedded.fake_gemini.faults import Fault, Faults
from shared.embedded.fake_gemini.server import FakeGemini

__all__ = ["FakeGemini", "Fault", "Faults"]
