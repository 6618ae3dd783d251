"""Questions to start with, for readers: the operator's, else those of the part of the site they are in."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import msgspec

from shared.answering.suggestions import OBJECT, choose, matching
from shared.errors import LecternError
from shared.ports import Memory, ObjectStore, SuggestionSet, SuggestionStore
from shared.resilience.deadline import Deadline
from shared.retrieval.sections import sections_of

OPERATORS = "suggestions.json"
"""Object of the bucket with suggested questions for every page, written by the operator."""
MOST = 4
FRESH_SECONDS = 300.0
FAILED_SECONDS = 15.0
"""How long what was found in an outage serves before better is looked for."""

_SECONDS = 1.5
_CALL_SECONDS = 0.6
_PLACES = 256

T = TypeVar("T")
Place = tuple[str, str, str]  # part of the site, version, locale


class Suggestion(msgspec.Struct, frozen=True):
    """A question to start with; ``url`` is the page it is about, where it is about one."""

    question: str
    url: str = ""


class Suggestions(msgspec.Struct, frozen=True):
    """Questions to start with; none when nothing can be said."""

    suggestions: tuple[Suggestion, ...]


class Suggested:
    """Keeps what it found for a while, for each part of the site. ``clock`` is monotonic seconds."""

    def __init__(
        self,
        stored: SuggestionStore,
        memory: Memory,
        bucket: ObjectStore | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stored = stored
        self._memory = memory
        self._bucket = bucket
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[Place, tuple[float, tuple[Suggestion, ...]]] = OrderedDict()

    def for_page(self, url: str, version: str, locale: str) -> tuple[Suggestion, ...]:
        """At most four for a reader's page; any part of it may be empty. Raises nothing: in an outage what
        was known before, or nothing.
        """
        place = (sections_of(url)[0], version, locale)
        with self._lock:
            until, known = self._known.get(place, (0.0, ()))
        if self._clock() < until:
            return known
        found, is_whole = self._look(url, version, locale)
        life = FRESH_SECONDS if is_whole else FAILED_SECONDS
        with self._lock:
            self._known[place] = (self._clock() + life, found or known)
            self._known.move_to_end(place)
            while len(self._known) > _PLACES:
                self._known.popitem(last=False)
        return found or known

    def _look(self, url: str, version: str, locale: str) -> tuple[tuple[Suggestion, ...], bool]:
        """What is found now, and whether it is what is found when all is well."""
        deadline = Deadline.after(_SECONDS)
        if chosen := self._operators(deadline.within(_CALL_SECONDS)):
            return chosen, True
        try:
            limit = deadline.within(_CALL_SECONDS)
            sets = self._stored.find(sections_of(url), version, locale, limit)
            if not sets:  # an index from before there were any
                return tuple(Suggestion(*one) for one in self._memory.titles(MOST, limit)), True
            return _shown(sets), True
        except LecternError:
            return _shown(matching(self._from_bucket(deadline), url, version, locale)), False

    def _operators(self, deadline: Deadline) -> tuple[Suggestion, ...]:
        return self._read(OPERATORS, Suggestions, Suggestions(()), deadline).suggestions

    def _from_bucket(self, deadline: Deadline) -> list[SuggestionSet]:
        return self._read(OBJECT, list[SuggestionSet], [], deadline)

    def _read(self, name: str, kind: type[T], otherwise: T, deadline: Deadline) -> T:
        if self._bucket is None:
            return otherwise
        try:
            data, _ = self._bucket.get(name, deadline)
            return msgspec.json.decode(data, type=kind)
        except (LecternError, msgspec.MsgspecError, UnicodeDecodeError):
            return otherwise


def _shown(sets: list[SuggestionSet]) -> tuple[Suggestion, ...]:
    return tuple(Suggestion(one.question, one.url) for one in choose(sets, MOST))
