"""Writes that Postgres cannot take now: small objects in the bucket, replayed into it exactly once.

``spool/<UTC day>/<kind>-<id>.json``, written under the condition that it is not there, so that writing twice
is writing once; replay is by the same id into statements that a second time change nothing, and the object
goes afterwards. An entry that can never be replayed is moved to ``spool/bad/`` and holds up nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from shared.answering.memory import DeletionList, utc_day
from shared.errors import (
    Corrupt,
    DeadlineExceeded,
    DependencyError,
    LecternError,
    Missing,
    PreconditionFailed,
    Rejected,
)
from shared.ports import AnswerLog, AnswerRecord, Deletion, Feedback, Memory, ObjectStore
from shared.resilience.deadline import Deadline
from shared.resilience.guard import Guard

FOLDER = "spool/"
BAD = "spool/bad/"
POSTGRES, SPOOL, NOWHERE = "postgres", "spool", "nowhere"

Write = AnswerRecord | Feedback | Deletion
_KINDS: Mapping[str, type[Write]] = {"answer": AnswerRecord, "feedback": Feedback, "deletion": Deletion}


class _Entry(msgspec.Struct, frozen=True):
    kind: str
    data: msgspec.Raw


class Spool:
    """The spool in a bucket. ``guard`` is that of the bucket, where questions share one.

    Errors of :meth:`put`: those of the store, and of the guard.
    """

    def __init__(self, store: ObjectStore, guard: Guard | None = None) -> None:
        self._store = store
        self._guard = guard

    def put(self, write: Write, deadline: Deadline) -> None:
        """Keep a write; the same one again changes nothing."""
        kind, name = _named(write)
        data = msgspec.json.encode({"kind": kind, "data": write})

        def put(limit: Deadline) -> None:
            self._store.put(name, data, limit, if_generation_match=0)

        with suppress(PreconditionFailed):
            self._guard.call(put, deadline) if self._guard else put(deadline)

    def answer(self, answer_id: str, day: float, deadline: Deadline) -> Mapping[str, Any] | None:
        """The whole answer of a spooled record of that day (Unix seconds), or None."""
        try:
            data, _ = self._store.get(f"{FOLDER}{utc_day(day)}/answer-{answer_id}.json", deadline)
            write = _decoded(data)
        except (Missing, Rejected, msgspec.MsgspecError):
            return None
        return write.detail if isinstance(write, AnswerRecord) else None

    def drain(
        self,
        log: AnswerLog,
        memory: Memory,
        deadline: Deadline,
        on_bad: Callable[[str, str], object] = lambda _name, _reason: None,
    ) -> Drained:
        """Replay what is there. ``on_bad`` is told the name of an entry that was moved aside, and why.

        Ends early, without an exception, when the database or the bucket stops answering: what is left stays
        for the next time.
        """
        replay = _Replay(self._store, log, memory, on_bad)
        try:
            for info in self._store.list(FOLDER, deadline):
                if not info.name.startswith(BAD):
                    replay.one(info.name, deadline)
        except (DependencyError, DeadlineExceeded) as error:
            return Drained(replay.replayed, replay.bad, str(error))
        return Drained(replay.replayed, replay.bad)


@dataclass(frozen=True, slots=True)
class Drained:
    """How many writes were replayed and how many moved aside; ``stopped`` says why it ended early."""

    replayed: int
    bad: int
    stopped: str = ""


class _Replay:
    def __init__(
        self, store: ObjectStore, log: AnswerLog, memory: Memory, on_bad: Callable[[str, str], object]
    ) -> None:
        self._store = store
        self._log = log
        self._memory = memory
        self._on_bad = on_bad
        self.replayed = 0
        self.bad = 0

    def one(self, name: str, deadline: Deadline) -> None:
        try:
            data, info = self._store.get(name, deadline)
        except Missing:
            return  # another drain was first
        except Corrupt as error:
            self._on_bad(name, error.detail)
            self.bad += 1
            return
        try:
            self._apply(_decoded(data), deadline)
        except (Rejected, msgspec.MsgspecError) as error:
            self._set_aside(name, data, str(error), deadline)
        else:
            self.replayed += 1
        self._remove(name, info.generation, deadline)

    def _apply(self, write: Write, deadline: Deadline) -> None:
        match write:
            case AnswerRecord():
                self._log.record(write, deadline)
            case Feedback():
                self._log.give_feedback(write, deadline)
            case Deletion():
                self._memory.delete_conversation(write, deadline)
                DeletionList(self._store).add(write, deadline)

    def _set_aside(self, name: str, data: bytes, reason: str, deadline: Deadline) -> None:
        self._store.put(BAD + name.removeprefix(FOLDER), data, deadline)
        self.bad += 1
        self._on_bad(name, reason)

    def _remove(self, name: str, generation: int, deadline: Deadline) -> None:
        try:
            self._store.delete(name, deadline, if_generation_match=generation)
        except (Missing, PreconditionFailed):
            return


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a write landed: ``postgres``, ``spool``, or ``nowhere`` with the reason."""

    place: str
    reason: str = ""

    @property
    def recorded(self) -> bool:
        """True only when Postgres or the bucket confirmed it."""
        return self.place != NOWHERE


class Recorder:
    """Puts a write into Postgres, or else into the spool (None: there is no bucket).

    ``redact`` is applied to the reader's own words, the question and the comment, before they go anywhere;
    answers are made of what the site publishes, and stay as they were given.
    """

    def __init__(
        self,
        log: AnswerLog,
        spool: Spool | None,
        *,
        redact: Callable[[str], str] | None = None,
        database_seconds: float = 2.0,
        bucket_seconds: float = 3.0,
    ) -> None:
        self._log = log
        self._spool = spool
        self._redact = redact or (lambda text: text)
        self._database_seconds = database_seconds
        self._bucket_seconds = bucket_seconds

    def keep(self, write: AnswerRecord | Feedback, deadline: Deadline, *, database: bool = True) -> Landing:
        """Keep the write within the deadline. ``database`` False goes to the spool at once: its breaker is
        open. Raises nothing.
        """
        reason = "neon: open"
        write = self._storable(write)
        if database:
            try:
                self._into_postgres(write, deadline.within(self._database_seconds))
            except (DependencyError, DeadlineExceeded) as error:
                reason = f"neon: {error.code}"
            else:
                return Landing(POSTGRES)
        return self._into_spool(write, deadline, reason)

    def _storable(self, write: AnswerRecord | Feedback) -> AnswerRecord | Feedback:
        """The write without what Postgres refuses or may not keep."""
        if isinstance(write, Feedback):
            return replace(
                write, reason=storable(write.reason), comment=storable(self._redact(storable(write.comment)))
            )
        return replace(
            write,
            question=storable(self._redact(storable(write.question))),
            answer=storable(write.answer),
            citations=tuple(map(storable, write.citations)),
            detail=_storable_json(write.detail),
        )

    def _into_postgres(self, write: AnswerRecord | Feedback, deadline: Deadline) -> None:
        if isinstance(write, Feedback):
            self._log.give_feedback(write, deadline)
        else:
            self._log.record(write, deadline)

    def _into_spool(self, write: Write, deadline: Deadline, reason: str) -> Landing:
        if self._spool is None:
            return Landing(NOWHERE, f"{reason} (it is not recorded)")
        try:
            self._spool.put(write, deadline.within(self._bucket_seconds))
        except LecternError as error:
            bucket = error.service if isinstance(error, DependencyError) else "bucket"
            return Landing(NOWHERE, f"{reason}, {bucket}: {error.code} (it is not recorded)")
        return Landing(SPOOL, f"{reason} (it waits in the bucket to be recorded)")


def _named(write: Write) -> tuple[str, str]:
    match write:
        case AnswerRecord():
            kind, at, name = "answer", write.asked_at, write.id
        case Feedback():
            kind, at = "feedback", write.given_at
            name = f"{write.answer_id}-{round(at * 1000)}"
        case Deletion():
            kind, at = "deletion", write.at
            name = f"{write.conversation_id}-{round(at * 1000)}"
    return kind, f"{FOLDER}{utc_day(at)}/{kind}-{name}.json"


def _decoded(data: bytes) -> Write:
    entry = msgspec.json.decode(data, type=_Entry)
    if entry.kind not in _KINDS:
        raise msgspec.ValidationError(f"{entry.kind!r} is no kind of write")
    return msgspec.json.decode(entry.data, type=_KINDS[entry.kind])


def storable(text: str) -> str:
    """A text that Postgres takes: it knows neither the character NUL nor half of a surrogate pair."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def _storable_json(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {key: _storable_json(each) for key, each in value.items()}
    return [_storable_json(each) for each in value] if isinstance(value, list | tuple) else value
