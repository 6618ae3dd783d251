"""An answer that a language model writes from the passages, given out sentence by sentence once proven."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Literal

from shared.answering.answers import Citation
from shared.answering.prompts import NOT_IN_DOCS
from shared.answering.proof import CUT, NEVER_SHOWN, Checked, Proof
from shared.answering.sentences import Sentences
from shared.ports import Generator, Prompt, Usage
from shared.resilience.deadline import Deadline

Unsupported = Literal["drop", "mark"]
"""What becomes of a sentence that its passages do not support."""

MARK = " (not found in the documentation)"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence to show. ``citations`` are the passages it stands on, ``fresh`` those of them that no
    sentence before it stood on. ``reasons`` are empty when it is supported.
    """

    text: str
    citations: tuple[Citation, ...]
    fresh: tuple[Citation, ...]
    reasons: tuple[str, ...] = ()


@dataclass(slots=True)
class Draft:
    """What became of a generation, so far.

    ``text`` and ``citations`` are what was given out. ``sentences`` counts what the model wrote,
    ``supported`` what was proven, ``dropped`` and ``marked`` the others by the name of each of their reasons.
    ``declined``: the model found no answer in the passages. ``failed`` says why there is no answer, empty
    when there is one.
    """

    text: str = ""
    citations: tuple[Citation, ...] = ()
    usage: Usage | None = None
    declined: bool = False
    failed: str = ""
    sentences: int = 0
    supported: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    marked: Counter[str] = field(default_factory=Counter)


def write(
    generator: Generator,
    prompt: Prompt,
    proof: Proof,
    draft: Draft,
    deadline: Deadline,
    *,
    unsupported: Unsupported = "drop",
) -> Iterator[Sentence]:
    """The sentences of the answer as they are proven; ``draft`` keeps count.

    Raises the errors of :class:`~shared.ports.Generator`; what was given out before stays proven. Closing the
    iterator ends the call to the model.
    """
    for piece, is_whole in _pieces(generator, prompt, draft, deadline):
        if _declines(piece):
            draft.declined = not draft.supported
            return
        if piece.strip():
            yield from _shown(draft, piece, _checked(proof, piece, is_whole=is_whole), unsupported)
    if not draft.supported:
        draft.failed = "nothing that the language model wrote was supported by the passages"


def _pieces(
    generator: Generator, prompt: Prompt, draft: Draft, deadline: Deadline
) -> Iterator[tuple[str, bool]]:
    """Sentences once complete, each with whether it is whole: the token limit may cut the last."""
    sentences = Sentences()
    finish = ""
    with closing(generator.stream(prompt, deadline)) as pieces:
        for piece in pieces:
            draft.usage = piece.usage or draft.usage
            finish = piece.finish_reason or finish
            yield from ((one, True) for one in sentences.feed(piece.text))
    rest = list(sentences.rest())
    for number, one in enumerate(rest, 1):
        yield one, number < len(rest) or finish != "MAX_TOKENS"


def _checked(proof: Proof, piece: str, *, is_whole: bool) -> Checked:
    return proof.check(piece) if is_whole else Checked("", (), (f"{CUT} the model ran out of tokens",))


def _declines(piece: str) -> bool:
    return piece.strip(" \n\t`*_\"'.").startswith(NOT_IN_DOCS)


def _shown(draft: Draft, piece: str, checked: Checked, unsupported: Unsupported) -> Iterator[Sentence]:
    """The sentence, if it may be shown; the count of it in any case."""
    draft.sentences += 1
    if checked.supported:
        draft.supported += 1
        yield _given(draft, checked.text, checked)
    elif unsupported == "mark" and not NEVER_SHOWN & set(checked.kinds):
        draft.marked.update(checked.kinds)
        yield _given(draft, _with_mark(checked.text), Checked("", (), checked.reasons))
    else:
        draft.dropped.update(checked.kinds)
        # The line's end stays, so that a list does not run into the sentence before it.
        if draft.text and "\n" in piece[len(piece.rstrip()) :] and not draft.text.endswith("\n"):
            draft.text += "\n"


def _given(draft: Draft, text: str, checked: Checked) -> Sentence:
    # A listing's fence counts only at the start of a line.
    if text.startswith("```") and draft.text and not draft.text.endswith("\n"):
        text = f"\n{text}"
    fresh = tuple(one for one in checked.citations if one not in draft.citations)
    draft.text += text
    draft.citations += fresh
    return Sentence(text, checked.citations, fresh, checked.reasons)


def _with_mark(text: str) -> str:
    body = text.rstrip()
    return f"{body}{MARK}{text[len(body) :]}"
