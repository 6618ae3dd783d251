"""``lectern ingest``"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from shared import settings
from shared.cli.console import Table, bar, command_errors, emit_json, json_option, out, say

if TYPE_CHECKING:
    from shared.wiring.ingestion import Hooks, Plan, Report, Run

SHOWN = 20
"""Addresses of each kind that a plan shows; --json has all of them."""


@click.command("ingest")
@click.argument("place", metavar="[PATH]", required=False)
@click.option(
    "--base-url",
    help="Address of the site, such as https://docs.example.com; a built site's sitemap.xml knows it.",
)
@click.option("--plan", "only_plan", is_flag=True, help="Show what would change and what it costs, and stop.")
@click.option("--allow-removal", is_flag=True, help="Let this run remove more pages than `removal_limit`.")
@click.option(
    "--run", "run_id", metavar="ID", help="Go on with this run, or with --plan show its plan again."
)
@click.option(
    "--tasks", type=click.IntRange(1, 64), help="Share reading and embedding among so many processes."
)
@click.option("--runs", "list_runs", is_flag=True, help="List the latest runs.")
@json_option
@command_errors
def command(
    *,
    place: str | None,
    base_url: str | None,
    only_plan: bool,
    allow_removal: bool,
    run_id: str | None,
    tasks: int | None,
    list_runs: bool,
    as_json: bool,
) -> None:
    """Bring the index to what a site says now.

    PATH is a folder of Markdown/MDX or of a built Docusaurus site, a prefix of a bucket (gs://bucket/prefix)
    with the same, or the site's https:// address; without it, the one that the settings name.

    Pages that are new or changed are indexed, pages that are gone are removed, and running it twice changes
    nothing. Readers are answered meanwhile: changed pages reach them one by one; an index that is built anew
    takes the old one's place at once, when it is complete. A page that cannot be read is named and left out;
    the others go on. A run that was killed is gone on with.
    """
    from shared.wiring import ingestion
    from shared.wiring.stack import services
    from shared.wiring.tasks import run_tasks

    if run_id and (place or base_url or tasks or list_runs):
        raise click.UsageError(
            "--run ID names a run that knows its PATH, --base-url and --tasks: "
            "only --plan, --allow-removal and --json go with it."
        )
    with services(settings.load(), say) as ready, _hooks() as hooks:
        if list_runs:
            _show_runs(ingestion.runs(ready.settings), as_json=as_json)
        elif run_id and only_plan:
            _show_plan(ingestion.recorded_plan(ready.settings, run_id), as_json=as_json)
        elif run_id:
            found = ingestion.execute_run(ready.settings, run_id, hooks, allow_removal=allow_removal)
            _show_report(found, as_json=as_json)
        else:
            where = place or ready.settings.site_folder
            if not where:
                raise click.UsageError("Name a PATH, or set LECTERN_SITE_FOLDER.")
            wanted = ingestion.Wanted(where, base_url or "", tasks=tasks or 1, allow_removal=allow_removal)
            if only_plan:
                _show_plan(ingestion.plan(ready.settings, wanted, hooks), as_json=as_json)
            else:
                do = run_tasks if wanted.tasks > 1 else ingestion.execute
                _show_report(do(ready.settings, wanted, hooks), as_json=as_json)


@contextmanager
def _hooks() -> Iterator[Hooks]:
    from shared.wiring.ingestion import Hooks

    with bar("Reading") as reading, bar("Embedding") as embedding, bar("Writing") as writing:
        yield Hooks(
            reading=reading,
            embedding=embedding,
            writing=writing,
            refused=lambda line: say(f"left out: {line}"),
            waiting=lambda who: say(f"waiting: {who}"),
            told=say,
        )


def _show_report(found: Report | Run, *, as_json: bool) -> None:
    from shared.wiring.ingestion import Run

    if as_json:
        emit_json(asdict(found))
    elif isinstance(found, Run):
        share = f", {sum(one.done for one in found.shares)} of {found.tasks} shares done"
        click.echo(f"Run {found.id} is {found.status} ({found.phase}{share}).")
    else:
        click.echo(found.summary())
        for line in found.warnings:
            say(line)


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        emit_json(asdict(plan))
        return
    for line in plan.lines(SHOWN):
        click.echo(line)
    say(f"Nothing was changed. To do it: lectern ingest --run {plan.run}")


def _show_runs(runs: list[Run], *, as_json: bool) -> None:
    if as_json:
        emit_json({"runs": [asdict(run) for run in runs]})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("run", "status", "begun", "pages", "written", "embedded", "site"):
        table.add_column(column, overflow="fold")
    for run in runs:
        begun = datetime.fromtimestamp(run.created_at, UTC).strftime("%Y-%m-%d %H:%M")
        read, embedded = sum(one.read for one in run.shares), sum(one.embedded for one in run.shares)
        status = run.status if run.status != "running" else f"{run.status}, {run.phase}"
        table.add_row(
            run.id, status, begun, str(read), f"{run.written}/{run.to_write}", str(embedded), run.source
        )
    out.print(table)
