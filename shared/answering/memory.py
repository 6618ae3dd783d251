"""What was said before, from Postgres or else from the page; and what must be forgotten."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from shared.errors import DependencyError, Missing, PreconditionFailed
from shared.ports import Deletion, Memory, ObjectStore, Turn
from shared.resilience.deadline import Deadline

MOST_TURNS = 12
MOST_CHARACTERS = 8000
_MOST_OF_TURN = 2000
_FOLDER = "deletions/"
_ROLES = ("user", "model")


def bounded(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The last turns that fit, each cut to size, beginning with one of the reader's."""
    kept: list[Turn] = []
    left = MOST_CHARACTERS
    for turn in reversed(turns[-MOST_TURNS:]):
        text = turn.text.strip()[:_MOST_OF_TURN]
        if turn.role not in _ROLES or not text:
            continue
        if len(text) > left:
            break
        left -= len(text)
        kept.append(Turn(turn.role, text))
    while kept and kept[-1].role != "user":
        kept.pop()
    return tuple(reversed(kept))


def history(stored: Sequence[Turn] | None, sent: Sequence[Turn]) -> tuple[Turn, ...]:
    """What the model may know of the conversation: what is stored, or (None or nothing) what the page sent.

    What a page sends is the reader's own word, a model's turns included: it is never quoted as documentation.
    """
    return bounded(stored) if stored else bounded(sent)


class _Listed(msgspec.Struct, frozen=True):
    conversation_id: str
    at: float


@dataclass(frozen=True, slots=True)
class DeletionList:
    """The deletions in the bucket, where a restored database finds those made after its backup.

    One small object each, under a name that tells nothing and grows with the day, so that a life cycle rule
    can remove them once no backup is older.
    """

    store: ObjectStore

    def add(self, deletion: Deletion, deadline: Deadline) -> None:
        """List a deletion; listing it again changes nothing. Errors: those of the store."""
        data = msgspec.json.encode(_Listed(deletion.conversation_id, deletion.at))
        try:
            self.store.put(_name(deletion), data, deadline, if_generation_match=0)
        except PreconditionFailed:
            return

    def read(self, deadline: Deadline) -> Iterator[Deletion]:
        """Every deletion listed; an object that cannot be read is passed over."""
        for info in self.store.list(_FOLDER, deadline):
            data, _ = self.store.get(info.name, deadline)
            try:
                one = msgspec.json.decode(data, type=_Listed)
            except msgspec.MsgspecError:
                continue
            yield Deletion(one.conversation_id, one.at)

    def apply(self, memory: Memory, deadline: Deadline) -> int:
        """Carry the list out on a database, such as a restored one; the number of answers removed."""
        return memory.apply_deletions(list(self.read(deadline)), deadline)

    def copy_to(self, other: DeletionList, deadline: Deadline) -> int:
        """List there what is listed here; the number of deletions that were not. Errors: the stores'."""
        there = {info.name for info in other.store.list(_FOLDER, deadline)}
        missing = [info.name for info in self.store.list(_FOLDER, deadline) if info.name not in there]
        for name in missing:
            with suppress(Missing, PreconditionFailed):  # a life cycle rule, or another run, was faster
                other.store.put(name, self.store.get(name, deadline)[0], deadline, if_generation_match=0)
        return len(missing)

    def complete(self, memory: Memory, since: float, deadline: Deadline) -> int:
        """List what the database deleted since then (Unix seconds) while the bucket was away."""
        made = memory.deletions(since, deadline)
        for deletion in made:
            self.add(deletion, deadline)
        return len(made)


def _name(deletion: Deletion) -> str:
    hashed = hashlib.sha256(f"{deletion.conversation_id}\x00{deletion.at}".encode()).hexdigest()
    return f"{_FOLDER}{utc_day(deletion.at)}/{hashed[:40]}.json"


def utc_day(at: float) -> str:
    """``2026-11-22`` for Unix seconds."""
    return time.strftime("%Y-%m-%d", time.gmtime(at))


class Forgetting:
    """Deletes conversations so that they stay deleted.

    ``spool`` keeps a deletion that the database cannot take now; ``now`` gives Unix seconds.
    """

    def __init__(
        self,
        memory: Memory,
        listed: DeletionList,
        spool: Callable[[Deletion, Deadline], None],
        now: Callable[[], float],
    ) -> None:
        self._memory = memory
        self._listed = listed
        self._spool = spool
        self._now = now

    def forget(self, conversation_id: str, deadline: Deadline) -> str:
        """Delete what was said until now. Returns ``deleted``, or ``accepted`` when the database is down and
        the deletion waits in the bucket. Raises the store's error when neither can take it.
        """
        deletion = Deletion(conversation_id, self._now())
        try:
            self._memory.delete_conversation(deletion, deadline.within(deadline.remaining() / 2))
        except DependencyError:
            self._spool(deletion, deadline)
            return "accepted"
        try:
            self._listed.add(deletion, deadline)
        except DependencyError:
            # Ingestion completes the list from the database before the next backup.
            return "deleted"
        return "deleted"
