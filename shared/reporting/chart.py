"""The chart of the report: a bar a week, as SVG whose colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

from shared.reporting.report import KINDS, Week

WIDTH, HEIGHT = 720, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 4, 12, 30
_MOST_LABELS = 7
_GRID_LINES = 4
_WIDEST_BAR = 46.0

NAMES = {"unanswered": "not answered", "low_rated": "rated down", "low_coverage": "weakly answered"}


def weekly_chart(weeks: Sequence[Week]) -> str:
    """Gaps by week, stacked by kind."""
    top = _ceiling(max((_total(week) for week in weeks), default=0))
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="chart-title">',
        '<title id="chart-title">Questions without a good answer, by week</title>',
        *_grid(top),
    ]
    step = (WIDTH - _LEFT - _RIGHT) / max(len(weeks), 1)
    every = math.ceil(len(weeks) / _MOST_LABELS)
    for number, week in enumerate(weeks):
        middle = _LEFT + step * (number + 0.5)
        parts += _bar(week, middle, min(step * 0.7, _WIDEST_BAR), top)
        if number % every == 0:
            parts.append(_text(middle, HEIGHT - 8, day(week.starts), "middle"))
    return "\n".join([*parts, "</svg>"])


def spark(counts: Sequence[int]) -> str:
    """A topic's questions by week, small."""
    most = max(counts, default=0) or 1
    heights = [18 * count / most for count in counts]
    bars = [
        f'<rect x="{number * 7}" y="{20 - height:.1f}" width="5" height="{height:.1f}"/>'
        for number, height in enumerate(heights)
        if height
    ]
    width = max(len(counts) * 7 - 2, 5)
    label = f"By week: {', '.join(map(str, counts))}"
    base = f'<line x1="0" x2="{width}" y1="20.5" y2="20.5"/>'
    return (
        f'<svg class="spark" viewBox="0 0 {width} 21" width="{width}" height="21" role="img" '
        f'aria-label="{label}">{base}{"".join(bars)}</svg>'
    )


def day(text: str) -> str:
    """``2026-11-23`` as ``23 Nov``."""
    found = date.fromisoformat(text)
    return f"{found.day} {found:%b}"


def _total(week: Week) -> int:
    return sum(getattr(week, kind) for kind in KINDS)


def _bar(week: Week, middle: float, width: float, top: int) -> list[str]:
    parts: list[str] = []
    below = 0
    for kind in KINDS:
        count = getattr(week, kind)
        if not count:
            continue
        y, bottom = _y(below + count, top), _y(below, top)
        what = f"Week of {day(week.starts)}: {count} {NAMES[kind]}, of {week.asked} asked"
        parts.append(
            f'<rect class="{kind}" x="{middle - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{bottom - y:.1f}"><title>{what}</title></rect>'
        )
        below += count
    return parts


def _grid(top: int) -> list[str]:
    parts: list[str] = []
    for number in range(_GRID_LINES + 1):
        value = top * number // _GRID_LINES
        y = _y(value, top)
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 6, y + 4, str(value), "end"))
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _y(value: int, top: int) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / top


def _ceiling(most: int) -> int:
    """A round number at or above ``most`` that the grid's lines divide."""
    step = 1
    while step * _GRID_LINES < most:
        digit = int(str(step)[0])
        step = step * 2 if digit in {1, 5} else step * 5 // 2
    return step * _GRID_LINES
