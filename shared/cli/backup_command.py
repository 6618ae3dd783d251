"""``lectern backup``"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shared import settings
from shared.cli.console import command_errors, emit_json, json_option, say
from shared.cli.watching import amount, watching

if TYPE_CHECKING:
    from shared.wiring.backup import Backup


@click.command("backup")
@click.option("--point", metavar="ID", help="Id of the point: a time such as 20260131T030000Z. Default: now.")
@click.option(
    "--part",
    type=click.Choice(["neon", "qdrant"]),
    help="Cut one part only; the point is committed once the other is there.",
)
@click.option(
    "--terraform",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file of `terraform output -json` to keep with the configuration, in place of the bucket's.",
)
@click.option("--with-secrets", is_flag=True, help="Keep the values of secrets, too. Needs a backup key.")
@json_option
@command_errors
def command(
    *, point: str | None, part: str | None, terraform: Path | None, with_secrets: bool, as_json: bool
) -> None:
    """Cut a recovery point: the database, the vectors and the configuration, as they are together.

    Answers that wait in the bucket are written to Postgres first. An ingestion that runs is waited for, and
    one that starts meanwhile waits. A backup that was stopped goes on with the same --point. Afterwards old
    points are removed as the settings say; `lectern backups prune` tells which.
    """
    if part == "neon" and (terraform or with_secrets):
        raise click.UsageError("the configuration is cut with the vectors: leave --part out, or say qdrant.")
    from shared.recovery.point import read_point_id
    from shared.wiring import backup
    from shared.wiring.configuration import Extras
    from shared.wiring.stack import services

    loaded = settings.load()
    named = read_point_id(point) if point else backup.new_point()
    wanted = tuple(one for one in backup.BOTH if part in {None, one})
    with ExitStack() as stack:
        ready = stack.enter_context(services(loaded, say))
        watch = stack.enter_context(watching())
        extras = Extras(terraform=terraform, with_secrets=with_secrets)
        made = backup.run(ready.settings, named, wanted, extras=extras, say=say, watch=watch)
    if as_json:
        emit_json(asdict(made))
    else:
        _show(made)


def _show(made: Backup) -> None:
    for name, part in made.parts.items():
        held = [f"{part.rows:,} rows"] if part.rows else []
        held += [f"{part.points:,} points"] if part.points else []
        size = f"{amount(part.plain_bytes, 'bytes')} as {amount(part.bytes, 'bytes')}"
        click.echo(f"{name:8}{part.objects} objects, {', '.join([*held, size])}")
        for what in part.left_out:
            click.echo(f"{'':8}not in it: {what}")
    sealed = "encrypted" if made.encrypted else "not encrypted: set LECTERN_BACKUP_KEY_FILE or _KMS_KEY"
    if made.state == "committed":
        click.echo(f"Recovery point {made.point} is whole ({sealed}, {made.seconds:.1f} s).")
        click.echo(f"Next: lectern verify {made.point}")
    else:
        click.echo(f"Recovery point {made.point} is not whole yet: {made.reason}.")
        click.echo(f"Next: lectern backup --point {made.point} --part {made.needs}")
