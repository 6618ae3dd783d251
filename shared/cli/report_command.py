"""``lectern report``"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shared import settings
from shared.cli.console import command_errors, emit_json, escape, json_option, out, say

if TYPE_CHECKING:
    from shared.reporting.report import GapReport, TopicReport

_BARS = "▁▂▃▄▅▆▇█"


@click.command("report")
@click.option(
    "--days",
    default=28.0,
    show_default=True,
    type=click.FloatRange(0, 3650, min_open=True),
    help="How far back to look; answers are kept for conversation_retention_days.",
)
@click.option(
    "--min",
    "least",
    default=2,
    show_default=True,
    type=click.IntRange(1),
    help="Fewest questions of a topic that is listed.",
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="Most topics listed.")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page with a chart to FILE instead.",
)
@json_option
@command_errors
def command(*, days: float, least: int, limit: int, page: Path | None, as_json: bool) -> None:
    """Show what readers ask and the documentation does not answer, by topic.

    Counted are questions that were not answered, answers that readers rated down, and answers whose best
    passage holds less than half of what the question's words weigh. Each topic comes with examples, its
    weeks, and the pages nearest to it.
    """
    from shared.wiring import report
    from shared.wiring.stack import refuse_to_make, services

    loaded = settings.load()
    refuse_to_make(loaded)
    with services(loaded, say) as ready:
        found = report.report(ready.settings, days, least=least, most=limit)
    if page:
        _write(page, report.html_page(found))
    if as_json:
        emit_json(asdict(found))
    elif not page:
        _show(found)


def _write(page: Path, text: str) -> None:
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(page), str(error.strerror)) from error
    say(f"Written to {page.absolute()}")


def _show(found: GapReport) -> None:
    out.print(f"[bold]{found.since} to {found.until}[/]: {found.asked} questions asked")
    out.print(
        f"{found.unanswered} not answered, {found.low_rated} rated down, {found.low_coverage} weakly answered"
    )
    for topic in found.topics:
        _show_topic(topic)
    if not found.gaps:
        out.print("Every question was answered, and none was rated down.")
    elif found.left_out:
        out.print(f"\n[dim]{found.left_out} more in topics that are not listed: --min and --limit choose.[/]")


def _show_topic(topic: TopicReport) -> None:
    out.print(f"\n[bold]{escape(topic.label)}[/]  {topic.questions}  [cyan]{_bars(topic.by_week)}[/]")
    for example in topic.examples:
        times = f"  {example.count} times" if example.count > 1 else ""
        out.print(f"  {escape(example.question)}[dim]{times}[/]", soft_wrap=True)
    for comment in topic.comments:
        out.print(f"  [yellow]reader:[/] {escape(comment)}", soft_wrap=True)
    for near in topic.pages:
        out.print(f"  [dim]near:[/] {escape(near.title)}  [dim]{escape(near.url)}[/]", soft_wrap=True)


def _bars(counts: tuple[int, ...]) -> str:
    most = max(counts, default=0) or 1
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count in counts)
