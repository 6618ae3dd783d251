"""``lectern drill``"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from shared.cli.console import command_errors, emit_json, json_option, say
from shared.cli.unsealed import load, unsealed_option
from shared.cli.watching import watching

if TYPE_CHECKING:
    from shared.recovery.report import DrillReport


@click.command("drill")
@click.argument("point", metavar="[ID]", required=False)
@click.option("--latest", is_flag=True, help="The newest point; so it is without an ID.")
@click.option(
    "--full",
    is_flag=True,
    help="Restore into LECTERN_DRILL_DATABASE_URL and LECTERN_DRILL_QDRANT_URL instead.",
)
@unsealed_option
@json_option
@command_errors
def command(*, point: str | None, latest: bool, full: bool, unsealed: bool, as_json: bool) -> None:
    """Rehearse a restore: a recovery point is restored in a sealed room and asked its golden questions.

    The room is a stack of its own in a temporary folder; nothing that readers use is touched, and only the
    bucket and the key are needed. The report is left beside the point, in Postgres, and in /health. Exit code
    1 when the drill failed.
    """
    if point and latest:
        raise click.UsageError("name a point or say --latest, not both.")
    from shared.wiring.rehearsal import Rehearsal, drill

    with watching() as watch:
        report = drill(
            load(unsealed=unsealed),
            Rehearsal(point, full),
            watch=watch,
            say=say,
        )
    if as_json:
        emit_json(msgspec.to_builtins(report))
    else:
        _show(report)
    if not report.passed:
        raise SystemExit(1)


def _show(report: DrillReport) -> None:
    for name, seconds in report.phases.items():
        click.echo(f"{name:10} {seconds:8.1f} s")
    golden = report.golden
    click.echo(
        f"{report.rows} rows and {report.points} points restored and verified; "
        f"{golden.same} of {golden.asked} golden questions answered as before."
    )
    for warning in report.warnings:
        say(f"note: {warning}")
    for problem in report.problems:
        say(f"failed: {problem}")
    verdict = "passed" if report.passed else "FAILED"
    took = f"rehearsed restore: {report.rehearsed_restore_seconds:.1f} s"
    click.echo(f"The drill of {report.point} {verdict}; {took}.")
