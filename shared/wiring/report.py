"""Joins the writers' report: questions from Postgres, grouped."""

from __future__ import annotations

import time

from shared.reporting.page import html_page
from shared.reporting.report import LOW_COVERAGE, GapReport, make_report, week_starts
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.parts import Parts

__all__ = ["GapReport", "html_page", "report"]

MOST_QUESTIONS = 20_000
"""Newest gaps that are looked at; grouping them takes a few seconds."""
READ_SECONDS = 60.0


def report(
    settings: Settings, days: float, *, least: int, most: int, until: float | None = None
) -> GapReport:
    """What was asked in the last ``days`` and not answered well: topics of ``least`` questions or more, at
    most ``most`` of them. ``until`` is Unix seconds, by default now.
    """
    end = time.time() if until is None else until
    starts = week_starts(end - days * 86_400, end)
    deadline = Deadline.after(READ_SECONDS)
    with Parts(settings) as parts:
        gaps = parts.questions.gaps(starts[0], end, LOW_COVERAGE, MOST_QUESTIONS, deadline)
        totals = parts.questions.asked(starts, end, deadline)
    return make_report(gaps, totals, starts, end, least=least, most=most)
