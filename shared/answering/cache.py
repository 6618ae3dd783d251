"""Answers to questions that were asked before, in this process and in a store that all instances share.

A page that changes takes its cached answers with it. The shared store knows the pages of each entry and drops
exactly those; every change of pages begins a new *epoch*, and an instance that sees one empties its own
memory, which it fills again from the shared store. So no instance has to be told, an answer that was begun
before a change is not kept after it, and nothing but the changed pages' answers is paid for again. (A content
version in the key would be simpler, but each nightly ingestion would empty the whole cache.)
"""

from __future__ import annotations

import hashlib
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.answering.answers import NOT_FOUND
from shared.errors import DeadlineExceeded, DependencyError
from shared.ports import AnswerCache, CacheEntry, Kept
from shared.resilience.deadline import Deadline

OWN_SECONDS = 300.0
"""How long this process keeps an answer: the longest that a changed page's answer outlives it while the
shared store cannot be asked for the epoch."""
STORE_SECONDS = 0.5
"""Longest time that a cache may cost a question."""
_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class CacheKey:
    """What an answer depends on beside its pages. ``history`` stands apart: a follow-up is cached under its
    standalone form, or not at all.
    """

    generation: str
    question: str
    version: str
    locale: str
    model: str
    prompt_version: str

    def digest(self) -> str:
        """The key: a hash, so that no question can be read from a cache."""
        parts = (self.generation, normalised(self.question), self.version, self.locale)
        text = "\x00".join((*parts, self.model, self.prompt_version))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def normalised(question: str) -> str:
    """The question without what makes no difference: forms of one letter, case, spaces, marks at the end."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", question).casefold())
    return " ".join(folded.split()).rstrip("?!. \u2026\u061f\uff1f")


def pages_of(urls: Sequence[str]) -> tuple[str, ...]:
    """The pages of links to headings, each once."""
    return tuple(dict.fromkeys(url.partition("#")[0] for url in urls))


class ProcessCache:
    """An :class:`~shared.ports.AnswerCache` in memory: at most ``most`` answers, the one that was not asked
    for longest goes first. ``clock`` is monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float], most: int = 500) -> None:
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[str, tuple[CacheEntry, float]] = OrderedDict()
        self._epoch = 0
        self._lock = threading.Lock()

    def get(self, key: str, deadline: Deadline) -> Kept:  # noqa: ARG002 - the port's signature
        with self._lock:
            entry, until = self._kept.get(key, (None, 0.0))
            if entry is None or self._clock() >= until:
                self._kept.pop(key, None)
                return Kept(None, self._epoch)
            self._kept.move_to_end(key)
            return Kept(entry.payload, self._epoch)

    def put(self, key: str, entry: CacheEntry, epoch: int, seconds: float, deadline: Deadline) -> bool:  # noqa: ARG002
        with self._lock:
            if epoch != self._epoch:
                return False
            self._kept[key] = (entry, self._clock() + seconds)
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return True

    def forget_pages(self, urls: Sequence[str], deadline: Deadline) -> int:  # noqa: ARG002
        if not urls:
            return 0
        gone = set(urls)
        with self._lock:
            stale = [key for key, (entry, _) in self._kept.items() if gone.intersection(entry.pages)]
            for key in stale:
                del self._kept[key]
            self._epoch += 1
        return len(stale)

    def clear(self) -> None:
        """Drop every answer."""
        with self._lock:
            self._kept.clear()
            self._epoch += 1


class LayeredCache:
    """The process's memory before a shared store; neither its absence nor its failure is ever an error.

    ``seconds`` is the life of an answer in the shared store.
    """

    def __init__(self, own: ProcessCache, shared: AnswerCache, seconds: float) -> None:
        self._own = own
        self._shared = shared
        self._seconds = seconds
        self._epoch = _UNKNOWN

    def find(self, key: str, opened: Kept | None, deadline: Deadline) -> Kept:
        """The answer kept under ``key``, and the epoch to give to :meth:`keep`.

        ``opened`` is what the opening round trip found there, when the shared store is the database; None
        asks the store, or this process alone when that fails.
        """
        try:
            kept = opened or self._shared.get(key, deadline.within(STORE_SECONDS))
        except (DependencyError, DeadlineExceeded):
            return self.find_here(key, deadline)
        self._see(kept.epoch)
        if kept.payload is not None:
            self._keep_here(key, CacheEntry(kept.payload, (), ""), deadline)
        return kept

    def find_here(self, key: str, deadline: Deadline) -> Kept:
        """The same of this process's memory alone, while the shared store cannot be asked."""
        return Kept(self._own.get(key, deadline).payload, _UNKNOWN)

    def keep(self, key: str, entry: CacheEntry, epoch: int, deadline: Deadline) -> bool:
        """Keep an answer that was made since :meth:`find` told ``epoch``; whether all instances have it."""
        if epoch in (_UNKNOWN, self._epoch):
            self._keep_here(key, entry, deadline)
        if epoch == _UNKNOWN:
            return False
        try:
            return self._shared.put(key, entry, epoch, self._seconds, deadline.within(STORE_SECONDS))
        except (DependencyError, DeadlineExceeded):
            return False

    def _keep_here(self, key: str, entry: CacheEntry, deadline: Deadline) -> None:
        epoch = self._own.get(key, deadline).epoch
        self._own.put(key, entry, epoch, min(OWN_SECONDS, self._seconds), deadline)

    def _see(self, epoch: int) -> None:
        if epoch != self._epoch:
            self._own.clear()
            self._epoch = epoch


def is_keepable(kind: str, degraded: Sequence[str]) -> bool:
    """Whether an answer is worth giving again: one that is as good as it could be, and stands on pages.

    "The docs do not say" stands on none, so no change of a page would ever take it away.
    """
    return kind != NOT_FOUND and not degraded
