"""Whether a sentence of a language model stands on the passages that it names. Pure.

A sentence is supported when its words are there (by IDF weight), and every number, identifier, quote and line
of code is. That is not entailment: a negation that was put in goes unnoticed. What is refused is refused
with reasons, so that it can be counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from shared.answering.answers import Citation
from shared.answering.facts import Facts, Holdings, facts_of, folded
from shared.answering.inert import addresses, fenced, harmless, host, listing, parts
from shared.answering.instructions import without_orders
from shared.answering.sentences import MARKER, split
from shared.retrieval.tokens import function_words, term_counts, tokens

Idf = Callable[[int], float]

PASSAGE, WORDS, NUMBER, IDENTIFIER, QUOTE, LISTING, LINK, SECRET, EMPTY, CUT = (
    "passage", "words", "number", "identifier", "quote", "listing", "link", "secret", "empty", "cut",
)  # fmt: skip
NEVER_SHOWN = frozenset({PASSAGE, LINK, SECRET, EMPTY, CUT})
"""Reasons for which a sentence is dropped even where unsupported ones are shown with a mark."""

LEAST_COVERAGE = 0.6
"""Share of a sentence's IDF that its passages must hold. See `lectern eval --citations` for what it does."""
_CONTRIBUTES = 0.25
_NEAR = 0.4
"""A place belongs to a sentence when it holds so much of it, as a share of what the best place holds."""
_FEWEST_TERMS = 2
_LEAKED_WORDS = 7
_FEWEST_LEAKED = 3
_MARKERS = re.compile(rf"[ \t]*(?:{MARKER.pattern})")
_BULLET = re.compile(r"\A\s*(?:[-*+•>]|#{1,6}|\d{1,3}[.)])\s+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f]+")


@dataclass(frozen=True, slots=True)
class Checked:
    """A sentence that was held against the passages.

    ``text`` is safe to show, with the markers of ``citations`` alone. ``reasons`` say why it is not
    supported, the first word of each being one of this module's names; ``coverage`` is the IDF share, 0..1.
    """

    text: str
    citations: tuple[Citation, ...]
    reasons: tuple[str, ...] = ()
    coverage: float = 0.0

    @property
    def supported(self) -> bool:
        return not self.reasons

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the reasons, each once."""
        return tuple(dict.fromkeys(reason.partition(" ")[0] for reason in self.reasons))


class _Place:
    """A sentence or a listing of a passage."""

    def __init__(self, text: str) -> None:
        self.terms = _terms(text)
        self.holdings = Holdings(text)
        self.is_listing = listing(text) is not None


class _Evidence:
    """A passage, taken apart once. Paragraphs that speak to a language model are no evidence."""

    def __init__(self, citation: Citation) -> None:
        place = "\n".join((citation.title, *citation.heading_path))
        text = f"{without_orders(place)}\n{without_orders(citation.quote)}"
        self.citation = citation
        self.terms = _terms(text)
        self.holdings = Holdings(text)
        self._text = text
        self._places: tuple[_Place, ...] = ()

    @property
    def places(self) -> tuple[_Place, ...]:
        """Where in the passage a fact may stand: its sentences and listings, and its headings."""
        if not self._places:
            self._places = tuple(map(_Place, filter(str.strip, split(self._text))))
        return self._places


class Proof:
    """Holds sentences against ``passages``, the context that a model was given.

    ``idf`` weighs term ids. ``private`` is the standing instruction: seven of its words in a row, and its
    short sentences, are never shown. ``own_hosts`` may be linked besides the hosts of the passages.
    """

    def __init__(
        self,
        passages: Sequence[Citation],
        idf: Idf,
        *,
        private: str = "",
        own_hosts: Iterable[str] = (),
        least_coverage: float = LEAST_COVERAGE,
    ) -> None:
        self._evidence = {passage.n: _Evidence(passage) for passage in passages}
        self._idf = idf
        self._private = frozenset().union(_runs(private), *map(_runs, split(private)))
        self._hosts = frozenset(filter(None, {*own_hosts, *(host(passage.url) for passage in passages)}))
        self._least = least_coverage

    def check(self, piece: str) -> Checked:
        """The verdict on one sentence, as :mod:`shared.answering.sentences` cuts them, markers included."""
        found = listing(piece)
        if found:
            return self._listing(*found)
        text, numbers = _unmarked(harmless(piece))
        bare = _BULLET.sub("", text).strip()
        never = self._never(bare)
        if never:
            return Checked("", (), never)
        if not numbers:
            return self._unnamed(text, bare)
        cited = [self._evidence[number] for number in numbers if number in self._evidence]
        if not cited:
            return Checked("", (), (f"{PASSAGE} {numbers[0]} is not in the context",))
        return self._verdict(text, bare, cited)

    # ------------------------------------------------------------ verdicts

    def _never(self, bare: str) -> tuple[str, ...]:
        """Reasons that do not depend on any passage."""
        reasons = [f"{LINK} {address}" for address in addresses(bare, self._hosts)]
        if self._private & _runs(bare):
            reasons.append(f"{SECRET} repeats the instruction")
        if len(_spoken(bare)) < _FEWEST_TERMS:
            reasons.append(f"{EMPTY} says nothing that could be checked")
        return tuple(reasons)

    def _verdict(self, text: str, bare: str, cited: Sequence[_Evidence]) -> Checked:
        """Whether ``cited`` together support the sentence; those that add nothing are not shown."""
        facts, terms = facts_of(bare), _terms(bare)
        covered = self._coverage(terms, set().union(*(one.terms for one in cited)))
        reasons = self._missing(facts, terms, cited)
        if covered < self._least:
            reasons = (f"{WORDS} {covered:.0%} of the sentence's are in its passages", *reasons)
        shown = [one for one in cited if self._coverage(terms, one.terms) >= _CONTRIBUTES] or list(cited)
        citations = tuple(one.citation for one in shown)
        if reasons:
            return Checked(text, (), reasons, covered)
        return Checked(_marked(text, citations), citations, (), covered)

    def _unnamed(self, text: str, bare: str) -> Checked:
        """A sentence without a marker: the passage that supports it best, if one does by itself."""
        verdicts = [self._verdict(text, bare, [one]) for one in self._evidence.values()]
        best = max(verdicts, key=lambda one: (one.supported, one.coverage), default=None)
        if best is None:
            return Checked("", (), (f"{PASSAGE} none is in the context",))
        return best

    def _listing(self, language: str, code: str, rest: str) -> Checked:
        """Code is a quote: every line of it stands in one passage, the named one if one is named."""
        numbers = _unmarked(rest)[1] or tuple(self._evidence)
        held = [self._evidence[number] for number in numbers if number in self._evidence]
        holder = next((one for one in held if one.holdings.lists(code)), None)
        if holder is None:
            return Checked(fenced(language, code), (), (f"{LISTING} is not in the passages",))
        citations = (holder.citation,)
        return Checked(f"{fenced(language, code)}\n[{holder.citation.n}]\n", citations, (), 1.0)

    def _missing(self, facts: Facts, terms: frozenset[int], cited: Sequence[_Evidence]) -> tuple[str, ...]:
        """The facts that no cited passage holds where it speaks of the sentence's matter: a number that is
        right for something else on the page is wrong here.
        """
        if not len(facts):
            return ()
        overlaps = [(self._coverage(terms, place.terms), place) for one in cited for place in one.places]
        near = _NEAR * max((overlap for overlap, _ in overlaps), default=0.0)
        local = Facts(facts.numbers, facts.identifiers, ())
        lacking = [place.holdings.lacks(local) for overlap, place in overlaps if overlap >= near]
        quotes = Facts((), (), facts.quotes)
        unquoted = [one.holdings.lacks(quotes) for one in cited]
        return tuple(sorted(_in_all(lacking) | _in_all(unquoted)))

    def _coverage(self, terms: frozenset[int], there: Iterable[int]) -> float:
        held = frozenset(there)
        total = sum(self._idf(term) for term in terms)
        return sum(self._idf(term) for term in terms & held) / total if total else 0.0


# ---------------------------------------------------------------- pieces


def _in_all(many: Sequence[Iterable[str]]) -> set[str]:
    return set.intersection(*map(set, many)) if many else set()


def _unmarked(text: str) -> tuple[str, tuple[int, ...]]:
    """The text without its markers, and the numbers that they name. Brackets in code are no markers."""
    numbers: dict[int, None] = {}
    kept: list[str] = []
    for part, is_code in parts(text):
        if not is_code:
            for found in MARKER.finditer(part):
                numbers.update(dict.fromkeys(map(int, re.findall(r"\d+", found[1]))))
        kept.append(part if is_code else _MARKERS.sub("", part))
    return "".join(kept), tuple(numbers)


def _marked(text: str, citations: Sequence[Citation]) -> str:
    """The sentence with its markers at the end, before the white space that follows it."""
    body = text.rstrip()
    markers = "".join(f"[{citation.n}]" for citation in citations)
    return f"{body} {markers}{text[len(body) :]}"


def _terms(text: str) -> frozenset[int]:
    """Term ids without function words. Scripts without spaces count by pairs of characters."""
    spaced = _UNSPACED.sub(lambda run: f" {' '.join(_pairs(run[0]))} ", folded(text))
    return frozenset(term_counts(spaced)) - function_words()


def _spoken(text: str) -> frozenset[str]:
    """Words, an identifier counting with its parts."""
    return frozenset(tokens(_UNSPACED.sub(lambda run: f" {' '.join(_pairs(run[0]))} ", text)))


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(max(1, len(run) - 1))]


def _runs(text: str) -> frozenset[tuple[str, ...]]:
    """Every run of so many words; of a shorter text all of it, unless it is too short to be anybody's own."""
    words = re.findall(r"\w+", text.lower())
    if _FEWEST_LEAKED <= len(words) < _LEAKED_WORDS:
        return frozenset({tuple(words)})
    return frozenset(tuple(words[at : at + _LEAKED_WORDS]) for at in range(len(words) - _LEAKED_WORDS + 1))
