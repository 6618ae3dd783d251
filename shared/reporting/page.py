"""The report as one HTML page that asks nobody for anything: no script, no font, no picture of elsewhere.

Readers wrote what it shows, so every text is escaped, links are made only of web addresses and paths, and the
page's own policy forbids everything but its style sheet.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from shared.reporting.chart import NAMES, day, spark, weekly_chart
from shared.reporting.report import KINDS, GapReport, Near, TopicReport

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def html_page(report: GapReport, title: str = "Questions the docs do not answer") -> str:
    """The whole page."""
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{_long(report.since)} to {_long(report.until)}</p>',
        _figures(report),
        *(_by_week(report) if report.gaps else []),
        "<h2>Topics</h2>",
        *(_topic(topic) for topic in report.topics),
        _end(report),
    ]
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="robots" content="noindex">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
    )
    return head + "\n".join(body) + "\n</main>\n</body>\n</html>\n"


def _figures(report: GapReport) -> str:
    share = f" <small>{report.unanswered / report.asked:.0%}</small>" if report.asked else ""
    figures = {
        "asked": f"{report.asked:,}",
        NAMES["unanswered"]: f"{report.unanswered:,}{share}",
        NAMES["low_rated"]: f"{report.low_rated:,}",
        NAMES["low_coverage"]: f"{report.low_coverage:,}",
    }
    cells = (f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in figures.items())
    return f'<dl class="figures">{"".join(cells)}</dl>'


def _by_week(report: GapReport) -> list[str]:
    marks = (
        f'<li><svg viewBox="0 0 10 10" aria-hidden="true"><rect class="{kind}" width="10" height="10"/></svg>'
        f"{escape(NAMES[kind])}</li>"
        for kind in KINDS
    )
    names = "".join(f"<th>{escape(NAMES[kind])}</th>" for kind in KINDS)
    rows = "".join(
        f"<tr><td>{day(week.starts)}</td><td>{week.asked}</td>"
        + "".join(f"<td>{getattr(week, kind)}</td>" for kind in KINDS)
        + "</tr>"
        for week in report.weeks
    )
    return [
        "<h2>By week</h2>",
        f'<ul class="legend">{"".join(marks)}</ul>',
        weekly_chart(report.weeks),
        "<details><summary>As a table</summary><table>",
        f"<thead><tr><th>Week of</th><th>asked</th>{names}</tr></thead><tbody>{rows}</tbody>",
        "</table></details>",
    ]


def _topic(topic: TopicReport) -> str:
    kinds = [f"{getattr(topic, kind)} {NAMES[kind]}" for kind in KINDS if getattr(topic, kind)]
    facts = f"{_times(topic.questions, 'question')}: {', '.join(kinds)}; last asked {_long(topic.last_asked)}"
    examples = "".join(
        f"<li><bdi>{escape(one.question)}</bdi>{_count(one.count)}</li>" for one in topic.examples
    )
    pages = "".join(f"<li>{_link(page)}{_count(page.count)}</li>" for page in topic.pages)
    columns = [f"<div><h4>Asked</h4><ul>{examples}</ul></div>"]
    if pages:
        columns.append(f"<div><h4>Nearest pages</h4><ul>{pages}</ul></div>")
    said = "".join(f"<blockquote><bdi>{escape(text)}</bdi></blockquote>" for text in topic.comments)
    return (
        f'<article class="topic"><div class="head"><h3><bdi>{escape(topic.label)}</bdi></h3>'
        f'{spark(topic.by_week)}</div><p class="soft small">{escape(facts)}</p>'
        f'<div class="columns">{"".join(columns)}</div>'
        + (f'<div class="columns"><div><h4>Readers said</h4>{said}</div></div>' if said else "")
        + "</article>"
    )


def _end(report: GapReport) -> str:
    if not report.gaps:
        return "<p>Every question of this time was answered, and none was rated down.</p>"
    left = (
        f"{_times(report.left_out, 'more question')} in topics that are not listed. "
        if report.left_out
        else ""
    )
    words = (
        "An answer that was rated down may also be a weak one: it counts as both, in the chart as rated down."
    )
    return f'<p class="soft small">{left}{words}</p>'


def _link(page: Near) -> str:
    """A link to the page, where its address is one of the web; else its title alone."""
    title = f"<bdi>{escape(page.title)}</bdi>"
    return f'<a href="{escape(page.url)}">{title}</a>' if is_web_address(page.url) else title


def is_web_address(url: str) -> bool:
    """Whether an address is safe to link to: http(s), or a path of the same site."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme:
        return parts.scheme in {"http", "https"} and bool(parts.netloc)
    return url.startswith("/") and not url.startswith(("//", "/\\"))


def _count(number: int) -> str:
    return f'&nbsp;<span class="soft small">&times;{number}</span>' if number > 1 else ""


def _times(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _long(text: str) -> str:
    return f"{day(text)} {text[:4]}"
