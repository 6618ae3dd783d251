"""``lectern reset``"""

from __future__ import annotations

from pathlib import Path

import click

from shared import settings
from shared.cli.console import command_errors, emit_json, json_option


@click.command("reset")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@command_errors
def command(*, yes: bool, as_json: bool) -> None:
    """Delete everything that the embedded stack keeps (LECTERN_HOME, .lectern by default).

    Nothing outside that folder is touched: not Neon, not Qdrant Cloud, not a bucket.
    """
    from shared.wiring.stack import reset

    home = Path(settings.load().home).absolute()
    if not yes and home.exists():
        click.confirm(
            f"Delete {home} with the database, the index and the bucket in it?", abort=True, err=True
        )
    deleted = reset(home)
    if as_json:
        emit_json({"deleted": deleted, "home": str(home)})
    else:
        click.echo(f"Deleted {home}." if deleted else f"There is nothing at {home}.")
