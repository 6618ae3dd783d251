"""Who writes the answer: the first language model that can, else nobody, and the passages are quoted."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from shared.answering.answers import Citation
from shared.answering.generated import Draft, Sentence, Unsupported, write
from shared.answering.prompts import SYSTEM, PageContext, answer_prompt
from shared.answering.proof import Idf, Proof
from shared.errors import Cancelled, DeadlineExceeded, DependencyError
from shared.ports import Generator as LanguageModel
from shared.ports import Pieces, Prompt
from shared.resilience.deadline import Deadline
from shared.resilience.guard import Guard

WRITING_SECONDS = 12.0
"""Most time for one model."""
RESERVE_SECONDS = 3.0
"""Time that is kept for what comes after the writing: the next model, or quoting and recording."""


@dataclass(frozen=True, slots=True)
class Writer:
    """A language model and the guard of its service."""

    model: LanguageModel
    guard: Guard


class Stop:
    """Ends the call to a model that is under way, from another thread: the reader left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._pieces: Pieces | None = None

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            pieces = self._pieces
        if pieces:
            pieces.close()

    def watching(self, model: LanguageModel) -> LanguageModel:
        """The model, whose streams :meth:`stop` ends."""
        return _Watched(model, self)

    def hold(self, pieces: Pieces) -> Pieces:
        with self._lock:
            self._pieces = pieces
            stopped = self._stopped
        if stopped:
            pieces.close()
        return pieces


class _Watched:
    def __init__(self, inner: LanguageModel, stop: Stop) -> None:
        self._inner = inner
        self._stop = stop

    @property
    def model(self) -> str:
        return self._inner.model

    def stream(self, prompt: Prompt, deadline: Deadline) -> Pieces:
        return self._stop.hold(self._inner.stream(prompt, deadline))


@dataclass(slots=True)
class Written:
    """What became of the writing: the last draft, the model that made it, and why others did not."""

    draft: Draft = field(default_factory=Draft)
    model: str = ""
    reasons: tuple[str, ...] = ()
    cost_usd: float = 0.0

    @property
    def stands(self) -> bool:
        """Whether there is a text to show."""
        return bool(self.draft.supported or self.draft.marked)


@dataclass(frozen=True, slots=True)
class Brief:
    """What is to be written: the question, the passages to write from, and how their words weigh."""

    question: str
    passages: tuple[Citation, ...]
    idf: Idf
    page: PageContext


def compose(
    writers: Sequence[Writer],
    brief: Brief,
    deadline: Deadline,
    *,
    stop: Stop,
    written: Written,
    unsupported: Unsupported = "drop",
) -> Generator[Sentence, None, None]:
    """The sentences of the answer, each proven before it is given out; ``written`` says what became of it,
    also when the reader left half way.

    The next model is asked only while nothing was shown; a text that breaks off stays as far as it got.
    """
    prompt = answer_prompt(brief.question, brief.passages, brief.page)
    proof = Proof(brief.passages, brief.idf, private=SYSTEM)
    for writer in writers:
        written.draft, written.model = Draft(), writer.model.model
        own = deadline.within(min(WRITING_SECONDS, deadline.remaining() - RESERVE_SECONDS))
        try:
            with writer.guard.breaker.watch():
                model = stop.watching(writer.model)
                yield from write(model, prompt, proof, written.draft, own, unsupported=unsupported)
        except Cancelled:
            raise
        except (DependencyError, DeadlineExceeded) as error:
            written.reasons += (f"{written.model}: {error.code}",)
        finally:
            written.cost_usd += written.draft.usage.cost_usd if written.draft.usage else 0.0
        if written.stands or written.draft.declined:
            return
        if written.draft.failed:
            written.reasons += (f"{written.model}: {written.draft.failed}",)
