"""What the fake says: vectors from words, answers from the prompt's own passages. All deterministic.

``FakeGemini(writer=…)`` takes any of the writers below, or another: a function of the standing instruction
and the prompt. The bad ones do what a model must not do, so that tests can show that it does not matter.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Callable

_PASSAGE = re.compile(
    r'<passage[^>]*?"(\d+)"[^>]*>(.*?)</passage>|^\[(\d+)\][ \t]*(.+?)(?=^\[\d+\]|^</|^#|\Z)',
    re.DOTALL | re.MULTILINE,
)
_SENTENCE = re.compile(r"[^.!?\n]{20,}[.!?]")
_CONVERSATION = re.compile(r"<conversation>(.*)</conversation>\s*<question>\s*(.*?)\s*</question>", re.DOTALL)
_READERS_TURN = re.compile(r'<turn by="reader">\s*(.*?)\s*</turn>', re.DOTALL)
_MARKER = re.compile(r" ?\[\d+\]")
_PASSAGES_USED = 3
_LONG_WORD = 5

Writer = Callable[[str, str], str]
"""The standing instruction and the prompt to what the model says."""


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


def honest(_system: str, prompt: str) -> str:
    """What the fake says unless told otherwise: an answer, or a follow-up as a question of its own."""
    return rewritten(prompt) or answer(prompt)


def answer(prompt: str) -> str:
    """One sentence from each of the first passages with its marker; without passages an echo."""
    passages = passages_in(prompt)
    said = [f"{_first_sentence(passages[number])} [{number}]" for number in sorted(passages)[:_PASSAGES_USED]]
    return " ".join(said) if said else f"echo: {prompt}"


def rewritten(prompt: str) -> str:
    """The last question and the long words of the reader's turn before it; empty for another prompt."""
    found = _CONVERSATION.search(prompt)
    turns = _READERS_TURN.findall(found[1]) if found else []
    if found is None or not turns:
        return ""
    matter = [
        word for word in re.findall(r"\w+", turns[-1]) if len(word) >= _LONG_WORD and word not in found[2]
    ]
    return f"{found[2].rstrip('?')} {' '.join(matter)}?"


def unmarked(_system: str, prompt: str) -> str:
    """True sentences without markers."""
    return _MARKER.sub("", answer(prompt))


def mismarked(_system: str, prompt: str) -> str:
    """True sentences, each with the marker of another passage."""
    count = max(passages_in(prompt), default=1)
    return re.sub(r"\[(\d+)\]", lambda marker: f"[{int(marker[1]) % count + 1}]", answer(prompt))


def miscounting(_system: str, prompt: str) -> str:
    """Sentences whose numbers are each seven too large, with the right markers."""
    return re.sub(r"(?<![\[\d])\d+", lambda number: str(int(number[0]) + 7), answer(prompt))


def inventing(_system: str, prompt: str) -> str:
    """True sentences with one between them that no passage holds, under a marker that exists."""
    return answer(prompt).replace("[1]", "[1] Zebras govern the quarterly moonlight budget. [1]", 1)


def declining(_system: str, _prompt: str) -> str:
    """What a model says that finds no answer."""
    return "NOT_IN_DOCS"


def saying(text: str) -> Writer:
    """A model that says ``text`` whatever it is asked. ``{system}`` stands for the instruction it was given,
    ``{prompt}`` for all that it was told.
    """
    return lambda system, prompt: text.replace("{system}", system).replace("{prompt}", prompt)


def count_tokens(text: str) -> int:
    return len(text.split())


def _first_sentence(passage: str) -> str:
    match = _SENTENCE.search(passage)
    return " ".join((match[0] if match else passage[:200]).split())


def _words(text: str) -> list[str]:
    return [word.removesuffix("s") for word in re.findall(r"\w+", text.lower())]
