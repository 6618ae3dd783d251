"""``lectern repair``"""

from __future__ import annotations

from contextlib import ExitStack

import click

from shared import settings
from shared.cli.console import bar, command_errors, emit_json, json_option, say


@click.command("repair")
@click.option("--plan", "only_look", is_flag=True, help="Show what is missing or damaged, and stop.")
@click.option(
    "--from-point",
    "point",
    metavar="ID",
    help="Take lost points from this recovery point (`latest`: the newest) before anything is embedded.",
)
@click.option("--site", metavar="PATH", help="Where to read pages that nothing else holds; see `ingest`.")
@click.option("--base-url", default="", help="Address of the site of --site; see `ingest`.")
@json_option
@command_errors
def command(*, only_look: bool, point: str | None, site: str | None, base_url: str, as_json: bool) -> None:
    """Find what is missing or damaged in the index, and make only that again.

    Compares the ledger with the points in Qdrant and with the passages in Postgres. Lost points come from a
    recovery point (--from-point) or from the passages in Postgres; pages that are left are read from where
    the last ingestion read the site, or from --site. What should not be there is removed. Readers are served
    meanwhile.

    Exit code 1 when the index is not whole in the end, with --plan when it is not whole now.
    """
    from shared.wiring import repair
    from shared.wiring.stack import services

    with services(settings.load(), say) as ready, ExitStack() as stack:
        bars = {what: stack.enter_context(bar(what.capitalize())) for what in ("comparing", "repairing")}
        report = repair.repair(
            ready.settings,
            only_look=only_look,
            point=point,
            progress=lambda what, done, total: bars[what](done, total),
            say=say,
        )
        if report.repaired and report.repaired.left:
            writing = stack.enter_context(bar("Ingesting"))
            report = repair.from_site(ready.settings, report, site or "", base_url, writing=writing, say=say)
    if as_json:
        emit_json(report.as_json())
    else:
        for line in report.lines():
            click.echo(line)
    if not report.healthy:
        raise SystemExit(1)
