"""``lectern keys``"""

from __future__ import annotations

import time
from dataclasses import asdict

import click

from shared import settings
from shared.cli.console import Table, command_errors, emit_json, json_option, out, say


@click.command("keys")
@click.argument("action", type=click.Choice(["add", "list", "revoke"]))
@click.argument("name", required=False)
@click.option(
    "--requests-per-minute",
    type=click.IntRange(min=1),
    help="Questions a minute with the new key; by default those of a visitor.",
)
@json_option
@command_errors
def command(*, action: str, name: str | None, requests_per_minute: int | None, as_json: bool) -> None:
    """Manage the API keys of access mode `key`.

    `add NAME` makes a key and shows it once; `list` shows all; `revoke ID` makes one useless, within a minute
    everywhere.
    """
    if action != "list" and not name:
        raise click.UsageError(f"{action} needs {'a NAME' if action == 'add' else 'the ID of a key'}.")
    from shared.wiring import keys
    from shared.wiring.stack import services

    loaded = settings.load()
    with services(loaded, lambda _: None) as ready:
        if action == "add":
            made, text = keys.add(
                ready.settings, name or "", requests_per_minute or loaded.rate_limit_requests
            )
            _show_new(made.id, text, as_json=as_json)
        elif action == "revoke":
            if not keys.revoke(ready.settings, name or ""):
                raise click.ClickException(f"there is no key {name} in use; `lectern keys list` shows all")
            say(f"Key {name} is revoked.")
        else:
            _show([_shown(asdict(one)) for one in keys.listed(ready.settings)], as_json=as_json)


def _show_new(key_id: str, text: str, *, as_json: bool) -> None:
    if as_json:
        emit_json({"id": key_id, "key": text})
        return
    out.print(text, markup=False)
    say(f"This is key {key_id}. It is shown only now: what is stored is its hash.")


def _shown(key: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in key.items() if name != "hash"}


def _show(keys: list[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        emit_json(keys)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "name", "a minute", "made", "revoked"):
        table.add_column(column, overflow="fold")
    for key in keys:
        times = [_day(key["created_at"]), _day(key["revoked_at"])]
        table.add_row(str(key["id"]), str(key["name"]), str(key["requests_per_minute"]), *times)
    out.print(table)


def _day(at: object) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) if isinstance(at, int | float) else ""
