# ruff: noqa: RUF001 - marks of other scripts are meant
"""What a sentence must not get wrong: its numbers, its identifiers and what it quotes."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from shared.answering.inert import parts, visible

_UNITS: Mapping[str, str] = {
    name: names.split()[0]
    for names in (
        "ms msec millisecond milliseconds",
        "s sec secs second seconds",
        "min mins minute minutes",
        "h hr hrs hour hours",
        "d day days",
        "week weeks",
        "month months",
        "year years",
        "b byte bytes",
        "kb kilobyte kilobytes kib",
        "mb megabyte megabytes mib",
        "gb gigabyte gigabytes gib",
        "tb terabyte terabytes tib",
        "% percent",
        "px pixel pixels",
        "em",
        "rem",
        "degree degrees ° °c",
        "hz",
        "khz",
        "mhz",
        "ghz",
        "usd $ dollar dollars",
        "eur € euro euros",
    )
    for name in names.split()
}
_WORDS = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(_WORDS, 2)}
_NUMBER_WORD = re.compile(rf"(?<![\w-])({'|'.join(_WORDS)})(?![\w-])", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?P<sign>(?:(?<=[\s(=:,\[{])|(?<=^))[-−](?=\d))?"
    r"(?<![A-Za-z_$\d])(?<!\d[.,])(?:[vV](?=\d))?"
    r"(?P<body>\d+(?:[.,'’_\u00a0\u202f]\d+)*)"
    r"(?:(?P<ordinal>st|nd|rd|th)\b|[ \u00a0\u202f-]?(?P<unit>%|°c?|€|\$|[A-Za-z]+)?)"
)
_GROUPED = re.compile(r"\d{1,3}(?:[,'’_\u00a0\u202f]\d{3})+(?:\.\d+)?")
_SHORTEST_IDENTIFIER = 2
_QUOTED = re.compile(r'"([^"\n]+)"|“([^”\n]+)”|„([^“”\n]+)[“”]|«([^»\n]+)»|「([^」\n]+)」|『([^』\n]+)』')
_TOKEN = re.compile(r"[^\s\"“”„«»「」『』()\[\]{},;<>|。！？、，]+")
_CALL = re.compile(r"[\w.$]+(?=\(\))")
_SHELL = "'’‘*.:!?…`"
_IDENTIFIER = re.compile(
    r"""--[A-Za-z][\w-]* | -[A-Za-z](?!\S)                    # flags
      | .*\w_\w.* | _\w+.* | .*[a-z0-9][A-Z].*              # snake_case, camelCase
      | .*(?:::|->|=>).* | [$@]\w.*                         # operators, variables, scopes
      | (?:\.{0,2}|~)/\S+ | \S*/\S*[/.\d_]\S*               # paths
      | (?:[^\W\d][\w-]*\.)+\w[\w-]* | \.[a-z][\w.-]+       # dotted names, file names
      | (?=[A-Za-z_]*\d)(?=\d*[A-Za-z_])[A-Za-z\d_-]+      # letters and digits
      | [vV]?\d+(?:\.\d+)+-[\w.]+ | \w+=\S+                 # pre-releases, assignments
      | [A-Z][A-Z\d]+s?                                     # acronyms
    """,
    re.VERBOSE,
)
_ACRONYM = re.compile(r"[A-Z][A-Z\d]+s?")
_ABBREVIATIONS = frozenset({"e.g", "i.e", "z.b", "d.h", "p.m", "a.m"})
_EMPHASIS = re.compile(r"(?<!\w)_(?=\S)([^_\n]+)(?<=\S)_(?!\w)")
_SAME_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " ", "\u202f": " "})

Number = tuple[str, str]
"""A number without thousands separators, and its unit's short name, empty for none."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Numbers, identifiers (code spans included) and quotes of a sentence, each once, in order."""

    numbers: tuple[Number, ...]
    identifiers: tuple[str, ...]
    quotes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.numbers) + len(self.identifiers) + len(self.quotes)


def facts_of(sentence: str) -> Facts:
    """The facts of a sentence without its markers."""
    prose = " ".join(part for part, is_code in parts(sentence) if not is_code)
    code = [folded(part.strip("`")) for part, is_code in parts(sentence) if is_code]
    named = [word for token in _TOKEN.findall(prose) if _is_identifier(word := _bare(token))]
    # Code may stand in a quote; quotation marks inside code open none.
    whole = "".join(part.replace('"', "\x02") if is_code else part for part, is_code in parts(sentence))
    called = _CALL.findall(prose)
    quotes = [
        "".join(groups).replace("\x02", '"').strip().rstrip(".,;:!?") for groups in _QUOTED.findall(whole)
    ]
    return Facts(
        tuple(dict.fromkeys(_numbers(folded(prose)))),
        tuple(dict.fromkeys(filter(None, [*code, *called, *named]))),
        tuple(dict.fromkeys(filter(None, quotes))),
    )


class Holdings:
    """What a passage holds, to look facts up in."""

    def __init__(self, text: str) -> None:
        self._text = folded(text)
        self._lower = self._text.casefold()
        self._dense = re.sub(r"\s+", "", visible(text))
        self._units: defaultdict[str, set[str]] = defaultdict(set)
        for number, unit in _numbers(self._text):
            self._units[number].add(unit)

    def lacks(self, facts: Facts) -> tuple[str, ...]:
        """The facts that are not here, each as ``number 7``, ``identifier a_b`` or ``quote …``."""
        numbers = [f"number {' '.join(one).strip()}" for one in facts.numbers if not self._number(one)]
        named = [f"identifier {one}" for one in facts.identifiers if not self._identifier(one)]
        return (*numbers, *named, *(f"quote {one}" for one in facts.quotes if folded(one) not in self._text))

    def lists(self, code: str) -> bool:
        """Whether every line of a listing is here, white space aside."""
        lines = [re.sub(r"\s+", "", visible(line)) for line in code.splitlines()]
        return any(lines) and all(line in self._dense for line in lines)

    def _number(self, fact: Number) -> bool:
        number, unit = fact
        units = self._units.get(number)
        if units is None:
            return False
        # A number that always has a unit must keep it; one that stands bare somewhere may have any.
        return not unit or "" in units or unit in units

    def _identifier(self, name: str) -> bool:
        if _ACRONYM.fullmatch(name):
            return bool(_standing(name.rstrip("s").casefold(), plural=True).search(self._lower))
        forms = [name, name.removesuffix("()"), name.strip("\"'"), name.removesuffix("'s")]
        return any(form and _standing(form).search(self._text) for form in forms)


@lru_cache(maxsize=4096)
def _standing(name: str, *, plural: bool = False) -> re.Pattern[str]:
    """The name as a whole: ``max_age`` does not stand in ``max_ages``, nor ``--a`` in ``--a-b``."""
    before = r"(?<![\w$])" if re.match(r"[\w$]", name) else r"(?<!\S)" if name.startswith(".") else ""
    after = r"(?![\w$-])" if name.startswith("-") else r"(?![\w$])" if re.search(r"[\w$]\Z", name) else ""
    before = r"(?<![\w-])" if name.startswith("-") else before
    return re.compile(before + re.escape(name) + ("s?" if plural else "") + after)


@lru_cache(maxsize=1024)
def folded(text: str) -> str:
    """As it reads: markup of emphasis and code gone, quotes straight, white space single."""
    text = unicodedata.normalize("NFC", visible(text)).translate(_SAME_QUOTES)
    text = _EMPHASIS.sub(r"\1", re.sub(r"`|\*\*|(?<!\w)\*(?=\S)|(?<=\S)\*(?!\w)", "", text))
    return " ".join(text.split())


def _numbers(text: str) -> list[Number]:
    text = _NUMBER_WORD.sub(lambda word: _NUMBER_WORDS[word[0].lower()], text)
    found: list[Number] = []
    for match in _NUMBER.finditer(text):
        body = match["body"]
        value = re.sub(r"[,'’_\u00a0\u202f]", "", body) if _GROUPED.fullmatch(body) else body
        unit = _UNITS.get((match["unit"] or "").lower(), "")
        found.append((("-" if match["sign"] else "") + value, unit))
    return found


def _bare(token: str) -> str:
    """A word without the punctuation around it."""
    leading = token.lstrip("'’‘*`")
    return leading.rstrip(_SHELL).removesuffix("'s").removesuffix("’s")


def _is_identifier(word: str) -> bool:
    if len(word) < _SHORTEST_IDENTIFIER or word.lower() in _ABBREVIATIONS:
        return False
    number = _NUMBER.fullmatch(word)
    is_measure = number and (number["ordinal"] or (number["unit"] or "").lower() in {"", *_UNITS})
    return not is_measure and bool(_IDENTIFIER.fullmatch(word))
