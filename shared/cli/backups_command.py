"""``lectern backups``"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from shared import settings
from shared.cli.console import Table, command_errors, emit_json, json_option, out, say

if TYPE_CHECKING:
    from shared.wiring.backups import Kept

_MB = 1_000_000


@click.command("backups")
@click.argument(
    "action",
    type=click.Choice(["list", "prune", "hold", "release", "copy", "config"]),
    default="list",
    required=False,
)
@click.argument("point", metavar="[ID]", required=False)
@click.option("--apply", is_flag=True, help="With prune: remove what it names. Without, it only says so.")
@click.option("--reason", default="", help="With hold: why the point must stay; shown in the list.")
@click.option(
    "--with-secrets", is_flag=True, help="With config: show values of secrets, if the point has any."
)
@json_option
@command_errors
def command(
    *, action: str, point: str | None, apply: bool, reason: str, with_secrets: bool, as_json: bool
) -> None:
    """List the recovery points, decide which ones stay, and keep some for longer.

    `prune` says for each point why it stays or goes and removes nothing without --apply. `hold ID` keeps a
    point whatever its age, `release ID` lets go of it, `copy ID` copies it to the second bucket.
    `config` shows the settings that were in force when a point was cut, the newest or ID. Only the bucket is
    needed, and for `config` the key.
    """
    from shared.wiring import backups

    if action in {"hold", "release", "copy"} and not point:
        raise click.UsageError(f"{action} needs the ID of a point; `lectern backups` lists them.")
    loaded = settings.load()
    if action == "prune":
        kept = backups.keep(loaded, apply=apply, progress=say)
        _show_kept(kept, as_json=as_json)
    elif action == "copy":
        copied = backups.copy(loaded, point or "", say)
        _done({"point": point, **asdict(copied)}, f"{point} is in the second bucket.", as_json=as_json)
    elif action == "hold":
        backups.hold(loaded, point or "", reason)
        _done({"point": point, "hold": reason}, f"{point} is on hold.", as_json=as_json)
    elif action == "release":
        backups.release(loaded, point or "")
        _done({"point": point, "hold": None}, f"{point} is no longer on hold.", as_json=as_json)
    elif action == "config":
        _show_config(backups.configuration(loaded, point, with_secrets=with_secrets), as_json=as_json)
    else:
        _show([_row(one) for one in backups.catalogue(loaded).points], as_json=as_json)


def _done(facts: dict[str, Any], line: str, *, as_json: bool) -> None:
    if as_json:
        emit_json(facts)
    else:
        click.echo(line)


def _show_config(files: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit_json(files)
        return
    for name, content in files.items():
        click.echo(f"# {name}")
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def _row(point: Any) -> dict[str, Any]:
    manifest = point.manifest
    return {
        "id": point.id,
        "at": point.at,
        "bytes": point.bytes,
        "parts": sorted(manifest.parts) if manifest else [],
        "ledger_version": manifest.ledger_version if manifest else None,
        "encrypted": bool(manifest and manifest.key_id),
        "verified": point.verified,
        "drill": point.last_drill.word if point.last_drill else None,
        "hold": point.hold,
        "problem": point.problem,
    }


def _show(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        emit_json(rows)
        return
    if not rows:
        say("There is no recovery point yet; `lectern backup` makes one.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "committed (UTC)", "MB", "encrypted", "verified", "drill", "remarks"):
        table.add_column(column, overflow="fold", no_wrap=column != "remarks")
    for row in rows:
        remarks = [f"on hold: {row['hold']}".rstrip(": ")] if row["hold"] is not None else []
        remarks += [row["problem"]] if row["problem"] else []
        table.add_row(
            row["id"],
            _minute(row["at"]),
            f"{row['bytes'] / _MB:.1f}",
            "yes" if row["encrypted"] else "no",
            "yes" if row["verified"] else "no",
            row["drill"] or "",
            "; ".join(remarks),
        )
    out.print(table)


def _show_kept(kept: Kept, *, as_json: bool) -> None:
    pruned = kept.pruned
    if as_json:
        facts = {
            "decisions": [asdict(one) for one in kept.decisions],
            "pruned": asdict(pruned) if pruned else None,
        }
        emit_json(facts)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "time (UTC)", "decision", "because"):
        table.add_column(column, overflow="fold", no_wrap=column != "because")
    for one in kept.decisions:
        decision = "keep" if one.keep else "remove"
        table.add_row(one.id, _minute(one.at), decision, "; ".join(one.reasons))
    out.print(table)
    if pruned is None:
        going = sum(not one.keep for one in kept.decisions)
        say(f"{going} would be removed; nothing was. Use --apply to remove them." if going else "All stay.")
        return
    click.echo(f"{len(pruned.removed)} removed: {pruned.objects} objects, {pruned.bytes / _MB:.1f} MB.")
    for line in pruned.refused:
        say(f"refused: {line}")


def _minute(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at))
