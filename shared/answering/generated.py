"""An answer that a language model writes from the passages, with a marker at every sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from shared.answering.answers import Citation
from shared.answering.prompts import NOT_IN_DOCS, answer_prompt
from shared.ports import Generator, Usage
from shared.resilience.deadline import Deadline

_MARKER = re.compile(r"\[(\d{1,2})\]")


@dataclass(slots=True)
class Draft:
    """What became of a generation. ``declined``: the model found no answer in the passages; ``failed``
    says why there is no whole answer, empty when there is one.
    """

    text: str = ""
    citations: tuple[Citation, ...] = ()
    usage: Usage | None = None
    declined: bool = False
    failed: str = ""


def write(
    generator: Generator, question: str, passages: Sequence[Citation], draft: Draft, deadline: Deadline
) -> Iterator[str]:
    """The words of the answer as they come; ``draft`` holds the whole afterwards.

    Nothing is given out while the answer may still turn out to be :data:`NOT_IN_DOCS`. Raises the errors of
    :class:`~shared.ports.Generator`; closing the iterator ends the call to the model.
    """
    held = ""
    with closing(generator.stream(answer_prompt(question, passages), deadline)) as pieces:
        for piece in pieces:
            draft.text += piece.text
            draft.usage = piece.usage or draft.usage
            held += piece.text
            if held and not NOT_IN_DOCS.startswith(held.strip()[: len(NOT_IN_DOCS)]):
                yield held
                held = ""
    draft.declined = NOT_IN_DOCS in draft.text
    draft.citations = cited(draft.text, passages)
    if not draft.declined and not draft.citations:
        draft.failed = "the language model named no passage"


def cited(text: str, passages: Sequence[Citation]) -> tuple[Citation, ...]:
    """The passages whose markers stand in the text, in the order of first use; unknown markers count not."""
    by_number = {passage.n: passage for passage in passages}
    numbers = dict.fromkeys(int(number) for number in _MARKER.findall(text))
    return tuple(by_number[number] for number in numbers if number in by_number)
