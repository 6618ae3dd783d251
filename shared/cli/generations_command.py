"""``lectern generations``"""

from __future__ import annotations

import click

from shared import settings
from shared.cli.console import Table, command_errors, emit_json, json_option, out, say


@click.command("generations")
@click.argument("action", type=click.Choice(["list", "rollback"]))
@click.argument("generation", required=False)
@json_option
@command_errors
def command(*, action: str, generation: str | None, as_json: bool) -> None:
    """List the generations of the index, or send readers back to an earlier one.

    `rollback` moves the alias to the generation before the live one, or to GENERATION, in one request:
    readers notice nothing but other answers. The next ingestion brings it to what the site says.
    """
    from shared.wiring import generations
    from shared.wiring.stack import services

    with services(settings.load(), say) as ready:
        if action == "list":
            _show([one.as_json() for one in generations.listed(ready.settings)], as_json=as_json)
            return
        target, warnings = generations.rollback(ready.settings, generation or "")
    for line in warnings:
        say(line)
    if as_json:
        emit_json({"generation": target.id, "warnings": list(warnings)})
    else:
        out.print(
            f"Readers are answered from {target.id} now ({target.pages} pages, {target.chunks} passages)."
        )


def _show(rows: list[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        emit_json({"generations": rows})
        return
    if not rows:
        out.print("There is no generation yet; start with `lectern ingest PATH`.", markup=False)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("generation", "status", "pages", "passages", "model", "made of"):
        table.add_column(column, overflow="fold")
    for row in rows:
        status = f"{row['status']}{', serves readers' if row['serves'] else ''}"
        model = str(row["model"] or ("words alone" if row["collection_exists"] else "collection is gone"))
        table.add_row(
            str(row["id"]), status, str(row["pages"]), str(row["chunks"]), model, str(row["source"])
        )
    out.print(table)
