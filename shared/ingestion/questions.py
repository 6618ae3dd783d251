"""Headings as the questions that their sections answer; by rules alone, so that it costs nothing and says
nothing that the heading does not.

A heading that is a question stays one. One that tells what to do ("Restore a backup", "Restoring a backup")
becomes "How do I restore a backup?", in languages where that can be said without bending its words. Any other
heading is no question.
"""

from __future__ import annotations

import re

from shared.ingestion.verbs import ALSO_NOUNS, DOUBLED, INFINITIVES, OBJECTS, VERBS

LONGEST, SHORTEST = 90, 4

_QUESTION_MARKS = ("?", "？", "؟")  # noqa: RUF001 - those of other scripts are meant
_AUXILIARY = r"(?:is|are|was|were|do|does|did|can|could|should|will|would|may|must|has|have)"
# "What the counts mean" is no question: after the word that asks comes a verb, or what is asked about.
_ASKING = re.compile(
    rf"(?i)^(?:(?:what|why|when|where|who|whose|how(?: long| much| often| far)?)\s+{_AUXILIARY}|"
    rf"(?:what|who)\s+(?:happens|comes|changes|changed|counts|goes|makes)|"
    rf"(?:which|how many)\s+(?:\S+\s+){{1,3}}{_AUXILIARY}|{_AUXILIARY}\s+\S+)\s+\S"
)
_WORKS = re.compile(rf"(?i)^how (?!{_AUXILIARY}\b)(.{{3,60}}) (works?)$")
_TWO_GERUNDS = re.compile(r"(?i)^\w+ing\b.*\b(?:and|or) \w+ing\b")
_YOUR = re.compile(r"\byour\b")
_TO = re.compile(r"(?i)^(how|when|where) to\s+(?=\S)")
_NUMBER = re.compile(r"^(?:step\s+)?\d+(?:\.\d+)*[.):\s]+", re.IGNORECASE)
_MARKS = re.compile(r"[`*_~]+|\{#[\w-]+\}|[\u200b\ufeff]")


def question_of(heading: str, locale: str = "") -> str:
    """The question that a section of this heading answers; empty when the heading is none."""
    text = _clean(heading)
    if not SHORTEST <= len(text) <= LONGEST:
        return ""
    if text.endswith(_QUESTION_MARKS) or text.startswith("¿"):
        return text
    language = locale.lower().partition("-")[0] or "en"
    if language == "en":
        return _english(text)
    verbs, form = INFINITIVES.get(language, (frozenset(), ""))
    first, _, rest = text.partition(" ")
    return form.format(f"{first.lower()} {rest}") if rest and first.lower() in verbs else ""


def _english(text: str) -> str:
    text = text.rstrip(".:")
    if _TO.match(text):
        return f"{_TO.sub(lambda found: f'{found[1].capitalize()} do I ', text)}?"
    if works := _WORKS.match(text):
        return f"How {'does' if works[2].lower() == 'works' else 'do'} {works[1]} work?"
    if _ASKING.match(text):
        return f"{text[0].upper()}{text[1:]}?"
    first, _, rest = text.partition(" ")
    verb = "" if _TWO_GERUNDS.match(text) else _base(first.lower())
    if not rest or not verb or (verb == "use" and rest.lower().startswith("case")):
        return ""
    if verb in ALSO_NOUNS and rest.split()[0].lower() not in OBJECTS:
        return ""
    return f"How do I {verb} {_YOUR.sub('my', rest)}?"  # it is the reader who asks


def _base(word: str) -> str:
    """The verb of an imperative or a gerund; empty for another word."""
    known = VERBS | ALSO_NOUNS
    if word in known:
        return word
    if not word.endswith("ing"):
        return ""
    stem = word[:-3]
    if stem[:-1] in DOUBLED and stem[-1:] == stem[-2:-1]:
        return stem[:-1]
    return next((one for one in (stem, f"{stem}e") if one in known), "")


def _clean(heading: str) -> str:
    text = _MARKS.sub("", heading.replace("\n", " "))
    return _NUMBER.sub("", " ".join(text.split())).strip()
