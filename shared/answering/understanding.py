"""A follow-up as a question that can be understood by itself: by a language model, or by rule without one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from shared.answering.inert import addresses, visible
from shared.answering.instructions import is_order
from shared.answering.prompts import recent, rewrite_prompt
from shared.answering.sentences import MARKER
from shared.errors import DeadlineExceeded, DependencyError
from shared.ports import Generator, Prompt, Turn, Usage
from shared.resilience.deadline import Deadline
from shared.retrieval.tokens import function_words, stem, term_id

ALONE, REWRITTEN, JOINED = "stands alone", "rewritten", "joined with the question before it"
MOST_CHARACTERS = 400
_MOST_GROWTH = 25
_LEAST_KEPT = 0.5
_LEAST_KNOWN = 0.6
_SHORT = 3
_MOST_ADDED = 6
_MOST_OF_ITSELF = 12
_WORD = re.compile(r"[\w$@][\w$@./-]*\w|\w")
_REFERS = re.compile(
    r"\b(?:it|its|they|them|their|theirs|this|that|those|these|there|one|ones|he|she|him|her|same|former|latter|"
    r"above|otherwise|instead|else|es|sie|das|dies\w*|dort|damit|dafür|il|elle|cela|ça|ceci|eso|esto|ello|"
    r"lo|isso|isto|questo|quello)\b",
    re.IGNORECASE,
)
_CONTINUES = re.compile(
    r"^\s*(?:and|but|or|so|then|what about|how about|what if|why|und|aber|et|mais|y|pero|e|ma)\b[^?]*\??\s*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Understood:
    """``standalone`` is what is searched for and answered; ``rewritten`` whether it differs from what was
    asked; ``reason`` how it came about, with the failure of the model where there was one.
    """

    standalone: str
    rewritten: bool
    reason: str
    usage: Usage | None = None


def understand(
    question: str, turns: Sequence[Turn], generator: Generator | None, deadline: Deadline
) -> Understood:
    """The question with what the conversation adds to it. Raises nothing: without a model, or when its
    rewriting cannot be used, a rule decides.
    """
    told = recent(turns)
    if not any(turn.role == "user" and turn.text.strip() for turn in told):
        return Understood(question, False, ALONE)
    if generator is None:
        return joined(question, told)
    try:
        text, usage = _asked(generator, rewrite_prompt(question, told), deadline)
    except (DependencyError, DeadlineExceeded) as error:
        return joined(question, told, f"the language model did not rewrite it ({error.code})")
    trouble = objection(text, question, told)
    if trouble:
        return joined(question, told, f"the rewriting was not used ({trouble})", usage)
    text = text.strip()
    changed = _words(text) != _words(question)
    return Understood(text if changed else question, changed, REWRITTEN if changed else ALONE, usage)


def joined(question: str, turns: Sequence[Turn], failure: str = "", usage: Usage | None = None) -> Understood:
    """By rule: a question that is short or points back gets the matter of the reader's last question."""
    before = next((turn.text for turn in reversed(turns) if turn.role == "user" and turn.text.strip()), "")
    added = _matter(before, question) if points_back(question) else []
    how = JOINED if added else ALONE
    reason = f"{how}; {failure}" if failure else how
    text = f"{question.strip()} ({' '.join(added)})" if added else question
    return Understood(text, bool(added), reason, usage)


def points_back(question: str) -> bool:
    """Whether the question seems to need the one before it."""
    matter = _words(question)
    if len(matter) <= _SHORT or _CONTINUES.match(question):
        return True
    return bool(_REFERS.search(question)) and len(matter) <= _MOST_OF_ITSELF


def objection(text: str, question: str, turns: Sequence[Turn]) -> str:
    """Why a rewriting cannot be used; empty when it can.

    It must be one line of bounded length, keep the question's own matter, and be made of words that were
    said: a model that answers, or that obeys what it reads, uses others.
    """
    text = text.strip()
    if not text or not _words(text):
        return "it is empty"
    if "\n" in text or visible(text) != text:
        return "it is not one line of plain text"
    if len(text) > max(MOST_CHARACTERS, 2 * len(question)):
        return "it is too long"
    if MARKER.search(text) or "<" in text.replace(question, "") or addresses(text, ()):
        return "it holds a marker, markup or an address"
    if is_order(text) and not is_order(question):
        return "it holds an order"
    return _strange(_words(text), _words(question), _words(" ".join(turn.text for turn in turns)))


def _strange(new: set[str], asked: set[str], told: set[str]) -> str:
    if asked and len(new & asked) < _LEAST_KEPT * len(asked):
        return "it asks something else"
    if len(new & (asked | told)) < _LEAST_KNOWN * len(new):
        return "it adds words that nobody said"
    return "it adds too much" if len(new) > len(asked) + _MOST_GROWTH else ""


def _asked(generator: Generator, prompt: Prompt, deadline: Deadline) -> tuple[str, Usage | None]:
    """The model's words and what they cost, up to twice what is allowed."""
    text, usage = "", None
    with closing(generator.stream(prompt, deadline)) as pieces:
        for piece in pieces:
            text += piece.text[: 4 * MOST_CHARACTERS - len(text)]
            usage = piece.usage or usage
    return text, usage


def _words(text: str) -> set[str]:
    """Stems of the words that carry matter."""
    stems = {stem(word.lower()) for word in _WORD.findall(text)}
    return {one for one in stems if term_id(one) not in function_words()}


def _matter(before: str, question: str) -> list[str]:
    """Words of the earlier question that this one lacks, in order; identifiers and long words if many."""
    has = _words(question)
    said = [word for word in dict.fromkeys(_WORD.findall(before)) if stem(word.lower()) not in has]
    said = [word for word in said if stem(word.lower()) in _words(word) and not _REFERS.fullmatch(word)]
    chosen = sorted(said, key=lambda word: (word.islower() and word.isalpha(), -len(word)))[:_MOST_ADDED]
    return [word for word in said if word in chosen]
