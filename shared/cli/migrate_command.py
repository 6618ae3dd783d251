"""``lectern migrate``"""

from __future__ import annotations

import click

from shared import settings
from shared.cli.console import command_errors, emit_json, json_option, say


@click.command("migrate")
@click.option("--dry-run", is_flag=True, help="Say what would be applied, and apply nothing.")
@json_option
@command_errors
def command(*, dry_run: bool, as_json: bool) -> None:
    """Bring the database to the schema of this code.

    A release does this before its canary, so migrations only add: one that takes away what the code before
    it still needs is refused until no release needs it any more. Each migration is applied whole or not at
    all; running it again changes nothing.
    """
    from shared.wiring import release

    names = release.migrate(settings.load(require=("database_url",)), say, dry_run=dry_run)
    if as_json:
        emit_json({"applied": [] if dry_run else names, "pending": names if dry_run else []})
        return
    for name in names:
        click.echo(f"{'would apply' if dry_run else 'applied'} {name}")
    if not names:
        click.echo("The database has the schema of this code.")
