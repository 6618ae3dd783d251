"""``lectern verify``"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from shared.cli.console import command_errors, emit_json, json_option, say
from shared.cli.unsealed import load, unsealed_option
from shared.cli.watching import watching

if TYPE_CHECKING:
    from shared.recovery.verify import Verified

_MB = 1_000_000


@click.command("verify")
@click.argument("point", metavar="[ID]", required=False)
@click.option("--latest", is_flag=True, help="The newest point; so it is without an ID.")
@unsealed_option
@json_option
@command_errors
def command(*, point: str | None, latest: bool, unsealed: bool, as_json: bool) -> None:
    """Read a recovery point to its end: every object is authenticated, decrypted and digested, and they hold
    the rows and points that the manifest counts.

    Nothing is written but the result, which is left beside the point. Only the bucket and the key are needed.
    Exit code 1 when the point is not whole, or newer ones cannot even be read.
    """
    if point and latest:
        raise click.UsageError("name a point or say --latest, not both.")
    from shared.wiring.verify import verify

    with watching() as watch:
        found = verify(load(unsealed=unsealed), point, watch, say)
    if as_json:
        emit_json({**asdict(found), "whole": found.whole, "empty": found.empty})
    else:
        _show(found)
    if not found.whole or found.passed_over:
        raise SystemExit(1)


def _show(found: Verified) -> None:
    for name, part in found.parts.items():
        what = f"{part.rows} rows" if part.rows else f"{part.points} points" if part.points else ""
        click.echo(f"{name:8} {part.objects:5} objects {part.bytes / _MB:10.1f} MB  {what}".rstrip())
    for problem in found.problems:
        say(f"broken: {problem}")
    for line in found.passed_over:
        say(f"newer, and broken: {line}")
    state = "whole" if found.whole else "NOT whole"
    nothing = "; it holds no row and no vector, as its manifest says" if found.whole and found.empty else ""
    lock = "encrypted" if found.encrypted else "not encrypted"
    click.echo(f"{found.point} is {state} ({lock}), read in {found.seconds:.1f} s{nothing}.")
