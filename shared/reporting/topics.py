"""Questions grouped by what they are about.

By words: each distinct question is a vector of its stems, weighed by TF-IDF over the questions themselves
(Salton and Buckley 1988), and joins the group whose mean vector is nearest by cosine; at the end groups that
have come near each other are joined. Nothing is random, and the order in which questions were asked does
not matter: those asked most often come first, equals by their text.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.retrieval.tokens import function_words, stem, term_id, tokens

JOINS = 0.22
"""Cosine from which a question belongs to a group. Of 42 questions about eight matters, among 800 others, all
pairs that belong together are together and no two matters are; at .30 only .84 of the pairs are."""

LABEL_WORDS = 3
LONGEST_LABEL = 60

# Words that any question may have, beside those of grammar.
_EMPTY = (
    "use using work get make want need please possible way help like try tell give there let see set just "
    "also instead without don doesn isn won didn doesn't don't isn't won't t re s ve ll m d"
)
_EMPTY_STEMS = frozenset(stem(word) for word in _EMPTY.split())
_WORD = re.compile(r"[\w']+")

Vector = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Topic:
    """Questions about one matter. ``label`` are their commonest words; ``members`` the places of the
    questions in what was given, ascending.
    """

    label: str
    members: tuple[int, ...]


def topics(questions: Sequence[str], joins: float = JOINS) -> list[Topic]:
    """The questions in groups, largest first; every question is in one."""
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, question in enumerate(questions):
        places[_terms(question) or (" ".join(question.split()).lower(),)].append(place)
    groups = _merged(_grouped(places, joins), joins)
    found = [Topic(_label(questions, group.members), tuple(sorted(group.members))) for group in groups]
    return sorted(found, key=lambda topic: (-len(topic.members), topic.label, topic.members))


@dataclass(slots=True)
class _Group:
    """Questions and the sum of their vectors; ``norm`` is the sum's length."""

    members: list[int] = field(default_factory=list)
    total: dict[str, float] = field(default_factory=dict)
    norm: float = 0.0

    def add(self, vector: Vector, members: Iterable[int], weight: float = 1.0) -> None:
        for term, value in vector.items():
            self.total[term] = self.total.get(term, 0.0) + value * weight
        self.norm = _norm(self.total)
        self.members.extend(members)


def _grouped(places: Mapping[tuple[str, ...], Sequence[int]], joins: float) -> list[_Group]:
    weights = _weights(places)
    groups: list[_Group] = []
    having: dict[str, set[int]] = defaultdict(set)  # term -> groups in which it occurs
    for terms, members in sorted(places.items(), key=lambda one: (-len(one[1]), one[0])):
        vector = _vector(terms, weights)
        near = sorted({number for term in vector for number in having[term]})
        best = max(near, key=lambda number: (_cosine(vector, groups[number]), -number), default=-1)
        if best < 0 or _cosine(vector, groups[best]) < joins:
            best = len(groups)
            groups.append(_Group())
        groups[best].add(vector, members)
        for term in vector:
            having[term].add(best)
    return groups


def _merged(groups: list[_Group], joins: float) -> list[_Group]:
    """Groups whose means have come within ``joins`` of a larger one's, joined to it."""
    kept: list[_Group] = []
    for group in sorted(groups, key=lambda one: -len(one.members)):  # stable: equals keep their order
        unit = {term: value / (group.norm or 1.0) for term, value in group.total.items()}
        best = max(kept, key=lambda one: _cosine(unit, one), default=None)
        if best is not None and _cosine(unit, best) >= joins:
            best.add(group.total, group.members)
        else:
            kept.append(group)
    return kept


def _terms(question: str) -> tuple[str, ...]:
    """The question's stems that carry matter, sorted, each once."""
    return tuple(sorted({term for term in tokens(question) if _carries_matter(term)}))


def _carries_matter(term: str) -> bool:
    return term_id(term) not in function_words() and term not in _EMPTY_STEMS


def _weights(places: Iterable[tuple[str, ...]]) -> dict[str, float]:
    """IDF over distinct questions, never below a share of 1, so that a word which all of them have still
    joins them.
    """
    listed = list(places)
    having = Counter(term for terms in listed for term in terms)
    return {term: 0.25 + math.log(1 + len(listed) / count) for term, count in having.items()}


def _vector(terms: Iterable[str], weights: Mapping[str, float]) -> Vector:
    raw = {term: weights[term] for term in terms}
    norm = _norm(raw) or 1.0
    return {term: value / norm for term, value in raw.items()}


def _norm(vector: Vector) -> float:
    return math.sqrt(sum(value * value for value in vector.values()))


def _cosine(unit: Vector, group: _Group) -> float:
    """Of a vector of length 1 and a group's mean."""
    shared = sum(value * group.total.get(term, 0.0) for term, value in unit.items())
    return shared / group.norm if group.norm else 0.0


def _label(questions: Sequence[str], members: Sequence[int]) -> str:
    """The words that most of the questions have, as most of them write them, in the order in which they
    come; one question is its own label.
    """
    distinct = sorted({" ".join(questions[place].split()) for place in members})
    found = _commonest(distinct) if len(distinct) > 1 else ""
    label = found or distinct[0] or "(empty)"
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1].rstrip() + "…"


def _commonest(questions: Sequence[str]) -> str:
    written: dict[str, Counter[str]] = defaultdict(Counter)
    places: dict[str, list[int]] = defaultdict(list)
    for question in questions:
        for place, word in enumerate(dict.fromkeys(_WORD.findall(question.lower()))):
            if _carries_matter(key := stem(word)):
                written[key][word] += 1
                places[key].append(place)
    counts = {key: forms.total() for key, forms in written.items()}
    least = max(counts.values(), default=0) / 3
    chosen = sorted(counts, key=lambda key: (-counts[key], key))[:LABEL_WORDS]
    chosen = sorted(
        (key for key in chosen if counts[key] >= least), key=lambda key: (sum(places[key]) / counts[key], key)
    )
    return " ".join(min(written[key], key=lambda form: (-written[key][form], form)) for key in chosen)
