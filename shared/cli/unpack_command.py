"""``lectern unpack``"""

from __future__ import annotations

from pathlib import Path

import click

from shared import settings
from shared.cli.console import command_errors, emit_json, json_option, say
from shared.cli.watching import watching


@click.command("unpack")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("point", metavar="[ID]", required=False)
@json_option
@command_errors
def command(*, folder: Path, point: str | None, as_json: bool) -> None:
    """Write the database of a recovery point into FOLDER as files that psql restores without Lectern.

    Without an ID it takes the newest point. The files are neither encrypted nor compressed. The bucket and
    the key are all that it needs.
    """
    from shared.wiring.unpack import unpack

    with watching() as watch:
        name, tables = unpack(settings.load(), point, folder, watch, say)
    if as_json:
        emit_json({"point": name, "tables": tables, "script": str(folder / "restore.sql")})
    else:
        click.echo(f"{tables} tables of recovery point {name} are in {folder}.")
        click.echo(f'Next: cd {folder} && psql -X -v ON_ERROR_STOP=1 -f restore.sql "$DATABASE_URL"')
