"""``lectern restore``"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from shared.cli.console import command_errors, emit_json, json_option, say
from shared.cli.unsealed import load, unsealed_option
from shared.cli.watching import watching
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.recovery.restore import Summary
    from shared.wiring.restore_plan import Plan
    from shared.wiring.stack import Services

_MB = 1_000_000


@click.command("restore")
@click.argument("point", metavar="[ID]", required=False)
@click.option("--latest", is_flag=True, help="The newest point; so it is without an ID.")
@click.option(
    "--part", type=click.Choice(["neon", "qdrant"]), help="The database alone, or the vectors alone."
)
@click.option("--table", help="One table of the database alone.")
@click.option("--as-of", help="The newest point whose data is not younger: 2026-01-31T12:00Z.")
@click.option("--to", help="Address of another database than DATABASE_URL: a new Neon branch.")
@click.option("--replace", is_flag=True, help="What is there may be put aside.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@unsealed_option
@json_option
@command_errors
def command(
    *,
    point: str | None,
    latest: bool,
    part: str | None,
    table: str | None,
    as_of: str | None,
    to: str | None,
    replace: bool,
    dry_run: bool,
    unsealed: bool,
    as_json: bool,
) -> None:
    """Bring back what was lost, from a recovery point.

    The point is read and authenticated as a whole before a row is written. Database and collection are built
    beside what is there, compared with the point, and take their places last. A target that holds anything is
    refused without --replace; the database that was there is then kept under another name. Schedules are
    paused meanwhile. A run that was killed can simply be started again. On one machine, without any setting,
    an empty stack is filled from its bucket.
    """
    if sum(bool(one) for one in (point, latest, as_of)) > 1:
        raise click.UsageError("name a point, or say --latest, or --as-of.")
    from shared.recovery.restore import Wanted
    from shared.wiring.restore import restore
    from shared.wiring.restore_plan import plan

    wanted = Wanted(
        point=point,
        as_of=_time(as_of),
        part=part,  # type: ignore[arg-type]
        table=table,
        replace=replace,
        to=to or "",
    )
    with _ready(load(unsealed=unsealed)) as ready:
        if dry_run:
            _show_plan(plan(ready.settings, wanted, say), as_json=as_json)
            return
        began = time.monotonic()
        with watching() as watch:
            done = restore(
                ready.settings,
                wanted,
                watch=watch,
                say=say,
            )
    _show(done, time.monotonic() - began, as_json=as_json)


@contextmanager
def _ready(loaded: Settings) -> Iterator[Services]:
    """Services to restore into. Where the settings name all of them they are left as they are: an empty
    database is what a restore wants.
    """
    from shared.wiring.stack import Services, is_embedded, services

    if not is_embedded(loaded):
        yield Services(loaded)
        return
    with services(loaded, say) as ready:
        yield ready


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"--as-of {text} is no time such as 2026-01-31T12:00Z.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    manifest = plan.manifest
    facts = {
        "point": manifest.id,
        "snapshot_at": manifest.snapshot_at.isoformat(),
        "snapshots": {part: manifest.parts[part].snapshot_at.isoformat() for part in plan.parts},
        "parts": plan.parts,
        "rows": plan.rows,
        "points": plan.points,
        "bytes": plan.bytes,
        "target_holds": plan.filled,
        "live_collection": plan.live,
        "in_the_way": plan.in_the_way,
    }
    if as_json:
        emit_json(facts)
        return
    click.echo(f"Recovery point {manifest.id}:")
    for part in plan.parts:
        click.echo(f"  {part} as it was at {_utc(manifest.parts[part].snapshot_at)}")
    click.echo(
        f"  {' and '.join(plan.parts)}: {plan.rows} rows, {plan.points} points, {plan.bytes / _MB:.1f} MB"
    )
    if plan.filled:
        click.echo(f"  the database holds rows in {len(plan.filled)} tables: --replace would be needed")
    if plan.in_the_way:
        click.echo(f"  {plan.in_the_way}: --replace would be needed")
    elif plan.live:
        click.echo(f"  readers are answered from {plan.live} until the restored collection takes its place")
    click.echo("Nothing was done.")


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _show(done: Summary, seconds: float, *, as_json: bool) -> None:
    if as_json:
        emit_json({**asdict(done), "total_seconds": round(seconds, 1)})
        return
    parts = []
    if "neon" in done.parts:
        parts.append(f"{done.rows} rows in {done.tables} tables")
    if "qdrant" in done.parts:
        where = f" in {done.collection}" if done.collection else ""
        parts.append(f"{done.points} points{where}")
    nothing = " The recovery point is empty, and so is what was restored." if done.empty else ""
    click.echo(f"Restored and verified from {done.point}: {', '.join(parts)}, in {seconds:.1f} s.{nothing}")
    if done.kept_as:
        click.echo(f"The database that was there is kept as {done.kept_as}; drop it when nobody needs it.")
    if done.deletions:
        click.echo(f"{done.deletions} answers were removed: their conversations were deleted since.")
    if done.replayed:
        click.echo(f"{done.replayed} writes that waited in the bucket were replayed.")
    if done.paused:
        click.echo(f"Schedules that were paused meanwhile: {', '.join(done.paused)}.")
    for step in done.next_steps:
        click.echo(f"next: {step}")
