"""``lectern spool``"""

from __future__ import annotations

from dataclasses import asdict

import click

from shared import settings
from shared.cli.console import command_errors, emit_json, json_option, say
from shared.resilience.deadline import Deadline

_SECONDS = 300.0


@click.command("spool")
@click.argument("action", type=click.Choice(["drain"]))
@json_option
@command_errors
def command(*, action: str, as_json: bool) -> None:  # noqa: ARG001 - there is one action so far
    """Replay into Postgres what it could not take when readers asked.

    Ingestion and backups do the same. Exit code 1 when something is left.
    """
    from shared.wiring import upkeep
    from shared.wiring.parts import Parts
    from shared.wiring.stack import services

    with services(settings.load(), lambda _: None) as ready, Parts(ready.settings) as parts:
        drained = upkeep.drain(parts, Deadline.after(_SECONDS), say)
    if as_json:
        emit_json(asdict(drained))
    else:
        click.echo(f"{drained.replayed} replayed, {drained.bad} set aside.")
    if drained.stopped:
        say(drained.stopped)
        raise SystemExit(1)
