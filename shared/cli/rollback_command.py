"""``lectern rollback``"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from shared import settings
from shared.cli.console import command_errors, emit_json, json_option, say

if TYPE_CHECKING:
    from shared.delivery.fleet import Outcome
    from shared.delivery.returning import Plan


@click.command("rollback")
@click.option(
    "--to", default="", metavar="RELEASE", help="The release to go back to; by default the one before."
)
@click.option("--reason", default="", help="Why; kept with the hold and shown by `lectern release status`.")
@click.option("--dry-run", is_flag=True, help="Say what would be moved, and move nothing.")
@json_option
@command_errors
def command(*, to: str, reason: str, dry_run: bool, as_json: bool) -> None:
    """Take readers back: every function and job at once, with the index generation that they need.

    While a canary is under way, it ends; else readers go to the release before the one they are on. The
    rollback holds: no build moves readers again until somebody does with `lectern release start`, and
    `terraform apply` leaves it alone. Exit code 1 when any part could not be moved.
    """
    from shared.wiring.release import office

    with office(settings.load(), say) as joined:
        plan = joined.plan_rollback(to)
        outcomes = [] if dry_run else joined.roll_back(plan, reason)
    if as_json:
        emit_json(_facts(plan, outcomes, dry_run=dry_run))
    else:
        _show(plan, outcomes, dry_run=dry_run)
    if any(one.error for one in outcomes):
        raise SystemExit(1)


def _facts(plan: Plan, outcomes: Sequence[Outcome], *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "from": plan.undone,
        "to": plan.target,
        "revisions": dict(plan.revisions),
        "generation": plan.generation,
        "notes": list(plan.notes),
        "failed": {one.service: one.error.message for one in outcomes if one.error},
    }


def _show(plan: Plan, outcomes: Sequence[Outcome], *, dry_run: bool) -> None:
    verb = "Would take" if dry_run else "Took"
    click.echo(
        f"{verb} readers from {plan.undone or 'what they are on'} back to {plan.target or 'what was before'}:"
    )
    found = {one.service: one for one in outcomes}
    wide = max(map(len, ("lectern-backup-qdrant-job", *plan.revisions)))
    for service, revision in plan.revisions.items():
        one = found.get(service)
        click.echo(f"  {service:<{wide}} {revision:<36} {_what(one)}".rstrip())
    for job in plan.jobs:
        click.echo(f"  {job:<{wide}} {'as of ' + plan.target:<36} {_what(found.get(job))}".rstrip())
    if plan.generation:
        click.echo(f"  {'index':<{wide}} generation {plan.generation}")
    for note in plan.notes:
        say(f"note: {note}")
    if any(one.error for one in outcomes):
        say("next: run it again; what is moved already stays. docs/release/rollback.md has the gcloud lines.")
    elif not dry_run:
        say("It holds: builds leave it so until `lectern release start`.")


def _what(one: Outcome | None) -> str:
    if one is None:
        return ""
    if one.error:
        return f"NOT MOVED: {one.error.message}"
    return "moved" if one.changed else "was there already"
