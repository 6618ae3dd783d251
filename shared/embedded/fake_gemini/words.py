"""What the fake says: vectors from words, answers from the prompt's own passages. All deterministic."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter

_PASSAGE = re.compile(
    r'<passage[^>]*?"(\d+)"[^>]*>(.*?)</passage>|^\[(\d+)\][ \t]*(.+?)(?=^\[\d+\]|^</|^#|\Z)',
    re.DOTALL | re.MULTILINE,
)
_SENTENCE = re.compile(r"[^.!?\n]{20,}[.!?]")
_PASSAGES_USED = 3


def embed(text: str, dimensions: int) -> list[float]:
    """A unit vector of hashed words: texts are close when they share words.

    Each word adds its logarithmic count to one place, with a sign, both taken from its CRC-32.
    """
    vector = [0.0] * dimensions
    for word, count in Counter(_words(text)).items():
        digest = zlib.crc32(word.encode())
        vector[digest % dimensions] += (1 + math.log(count)) * (1 if digest & 0x8000_0000 else -1)
    length = math.hypot(*vector)
    if length == 0:
        return [1.0] + [0.0] * (dimensions - 1)
    return [one / length for one in vector]


def passages_in(prompt: str) -> dict[int, str]:
    """The numbered passages of a prompt.

    Two forms are understood: ``<passage id="1" …>text</passage>`` (the first quoted number names
    it), and ``[1] text`` at the start of a line up to the next such line, heading or closing tag.
    """
    found: dict[int, str] = {}
    for match in _PASSAGE.finditer(prompt):
        number, text = (match[1], match[2]) if match[1] else (match[3], match[4])
        found.setdefault(int(number), text.strip())
    return found


def answer(prompt: str) -> str:
    """One sentence from each of the first passages with its marker; without passages an echo."""
    passages = passages_in(prompt)
    said = [f"{_first_sentence(passages[number])} [{number}]" for number in sorted(passages)[:_PASSAGES_USED]]
    return " ".join(said) if said else f"echo: {prompt}"


def count_tokens(text: str) -> int:
    return len(text.split())


def _first_sentence(passage: str) -> str:
    match = _SENTENCE.search(passage)
    return " ".join((match[0] if match else passage[:200]).split())


def _words(text: str) -> list[str]:
    return [word.removesuffix("s") for word in re.findall(r"\w+", text.lower())]
