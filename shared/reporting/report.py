"""The writers' report: what was asked and not answered well, by topic and by week. All of it is pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.ports.questions import AskedQuestion
from shared.reporting.texts import plain
from shared.reporting.topics import topics

LOW_COVERAGE = 0.5
"""An answer is weak when its best passage holds less than this share of what the question's words weigh."""

UNANSWERED, LOW_RATED, WEAK = "unanswered", "low_rated", "low_coverage"
KINDS = (UNANSWERED, LOW_RATED, WEAK)

_EXAMPLES = 4
_COMMENTS = 3
_PAGES = 3


@dataclass(frozen=True, slots=True)
class Week:
    """A week of the time reported on, the first and last of which may be cut: it ``starts`` (a date, UTC, a
    Monday but for the first). A question counts once, as the first of :data:`KINDS` that it is.
    """

    starts: str
    asked: int
    unanswered: int
    low_rated: int
    low_coverage: int


@dataclass(frozen=True, slots=True)
class Example:
    """A question as it was asked most recently, and how often."""

    question: str
    count: int


@dataclass(frozen=True, slots=True)
class Near:
    """A page that was cited or named nearest, and for how many of the questions."""

    title: str
    url: str
    count: int


@dataclass(frozen=True, slots=True)
class TopicReport:
    """Questions about one matter. A question counts in each kind that it is; ``by_week`` are the questions of
    each week of the report. ``last_asked`` is a date (UTC).
    """

    label: str
    questions: int
    unanswered: int
    low_rated: int
    low_coverage: int
    last_asked: str
    by_week: tuple[int, ...]
    examples: tuple[Example, ...]
    comments: tuple[str, ...]
    pages: tuple[Near, ...]


@dataclass(frozen=True, slots=True)
class GapReport:
    """The whole report. ``since`` and ``until`` are dates (UTC); the counts of kinds are those of questions
    that are in it, ``asked`` all that were asked. ``left_out`` are questions of topics that are not listed.
    """

    since: str
    until: str
    asked: int
    gaps: int
    unanswered: int
    low_rated: int
    low_coverage: int
    weeks: tuple[Week, ...]
    topics: tuple[TopicReport, ...]
    left_out: int


def week_starts(since: float, until: float) -> list[float]:
    """Unix seconds at which the weeks of a time begin: ``since`` itself, then every Monday, 0 h UTC."""
    first = datetime.fromtimestamp(since, UTC)
    monday = first.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=7 - first.weekday())
    starts = [since]
    while monday.timestamp() < until:
        starts.append(monday.timestamp())
        monday += timedelta(days=7)
    return starts


def kinds_of(one: AskedQuestion) -> tuple[str, ...]:
    """Why a question is in the report, in the order of :data:`KINDS`; empty for one that is answered."""
    is_kind = {
        UNANSWERED: one.kind == "not_found",
        LOW_RATED: one.rating == "down",
        WEAK: one.kind != "not_found" and one.coverage is not None and one.coverage < LOW_COVERAGE,
    }
    return tuple(kind for kind in KINDS if is_kind[kind])


def make_report(
    asked: Sequence[AskedQuestion],
    totals: Sequence[int],
    starts: Sequence[float],
    until: float,
    *,
    least: int = 1,
    most: int = 20,
) -> GapReport:
    """The report on ``asked``. ``totals`` are all questions of the weeks that begin at ``starts``; topics of
    fewer than ``least`` questions, and those beyond ``most``, are left out.
    """
    gaps = [one for one in asked if kinds_of(one)]
    grouped = topics([one.question for one in gaps])
    shown = [group for group in grouped if len(group.members) >= least][:most]
    listed = [_topic(group.label, [gaps[n] for n in group.members], starts) for group in shown]
    counts = Counter(kind for one in gaps for kind in kinds_of(one))
    return GapReport(
        since=_date(starts[0]),
        until=_date(until),
        asked=sum(totals),
        gaps=len(gaps),
        unanswered=counts[UNANSWERED],
        low_rated=counts[LOW_RATED],
        low_coverage=counts[WEAK],
        weeks=_weeks(gaps, totals, starts),
        topics=tuple(listed),
        left_out=len(gaps) - sum(topic.questions for topic in listed),
    )


def _weeks(gaps: Sequence[AskedQuestion], totals: Sequence[int], starts: Sequence[float]) -> tuple[Week, ...]:
    counts = Counter((_week(one.asked_at, starts), kinds_of(one)[0]) for one in gaps)
    return tuple(
        Week(_date(start), total, *(counts[number, kind] for kind in KINDS))
        for number, (start, total) in enumerate(zip(starts, totals, strict=True))
    )


def _topic(label: str, members: Sequence[AskedQuestion], starts: Sequence[float]) -> TopicReport:
    counts = Counter(kind for one in members for kind in kinds_of(one))
    weeks = Counter(_week(one.asked_at, starts) for one in members)
    newest = sorted(members, key=lambda one: (-one.asked_at, one.question))
    comments = dict.fromkeys(text for one in newest if (text := plain(one.comment)))
    return TopicReport(
        label=plain(label),
        questions=len(members),
        unanswered=counts[UNANSWERED],
        low_rated=counts[LOW_RATED],
        low_coverage=counts[WEAK],
        last_asked=_date(newest[0].asked_at),
        by_week=tuple(weeks[number] for number in range(len(starts))),
        examples=_examples(newest),
        comments=tuple(comments)[:_COMMENTS],
        pages=_pages(newest),
    )


def _examples(newest: Sequence[AskedQuestion]) -> tuple[Example, ...]:
    """The questions asked most often, equals by their newest; the same words in another case are the same."""
    counts = Counter(plain(one.question).lower() for one in newest)
    written: dict[str, str] = {}
    for one in newest:
        written.setdefault(plain(one.question).lower(), plain(one.question))
    return tuple(Example(written[key], count) for key, count in counts.most_common(_EXAMPLES))


def _pages(newest: Sequence[AskedQuestion]) -> tuple[Near, ...]:
    counts = Counter(url for one in newest for _, url in one.pages if plain(url))
    titles: dict[str, str] = {}
    for one in newest:
        for title, url in one.pages:
            titles.setdefault(url, title)
    best = sorted(counts, key=lambda url: (-counts[url], url))[:_PAGES]
    return tuple(Near(plain(titles[url]) or plain(url), plain(url), counts[url]) for url in best)


def _week(at: float, starts: Sequence[float]) -> int:
    return max(sum(start <= at for start in starts) - 1, 0)


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
