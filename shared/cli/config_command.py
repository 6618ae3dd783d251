"""``lectern config``"""

from __future__ import annotations

import json
from dataclasses import asdict, fields

import click

from shared import settings
from shared.cli.console import Table, command_errors, emit_json, json_option, out

_HIDDEN = "(set)"


@click.command("config")
@click.option("--reference", is_flag=True, help="Print the handbook's configuration reference instead.")
@click.option("--platform", is_flag=True, help="Show what Google Cloud runs in this environment instead.")
@click.option(
    "--secret",
    metavar="VARIABLE",
    help="Print which version of which secret is pinned for a variable instead.",
)
@json_option
@command_errors
def command(*, reference: bool, platform: bool, secret: str | None, as_json: bool) -> None:
    """Show the settings in force; secrets are shown only as set or not."""
    if reference:
        from shared.cli.reference import reference as text

        click.echo(text(), nl=False)
        return
    if platform:
        _show_platform(as_json=as_json)
        return
    if secret:
        _show_pinned(secret, as_json=as_json)
        return
    loaded = settings.load()
    secrets = {item.name for item in settings.declarations() if item.secret}
    values = {
        item.name: (_HIDDEN if getattr(loaded, item.name) else "")
        if item.name in secrets
        else getattr(loaded, item.name)
        for item in fields(loaded)
    }
    if as_json:
        emit_json(values)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("setting")
    table.add_column("value", overflow="fold")
    table.add_column("variable", style="dim")
    for item in settings.declarations():
        value = values[item.name]
        shown = ", ".join(value) if isinstance(value, tuple) else str(value)
        table.add_row(item.name, shown, item.env)
    out.print(table)


def _show_platform(*, as_json: bool) -> None:
    """The section with every default; raises with all its mistakes."""
    import yaml

    from shared.delivery.platform_file import load_platform

    found = load_platform(settings.load().environment, settings.CONFIG_FOLDER)
    facts = json.loads(json.dumps(asdict(found.platform)))
    if as_json:
        emit_json(facts)
    else:
        click.echo(yaml.safe_dump({"platform": facts}, sort_keys=False), nl=False)


def _show_pinned(variable: str, *, as_json: bool) -> None:
    """The version's name as Secret Manager has it behind the project's: ``lectern-x/versions/1``."""
    from shared.delivery.platform_file import load_platform

    environment = settings.load().environment
    found = load_platform(environment, settings.CONFIG_FOLDER).secrets
    if variable not in found:
        raise click.BadParameter(
            f"{environment}.yaml pins {', '.join(found) or 'nothing'}", param_hint="--secret"
        )
    pinned = found[variable]
    if as_json:
        emit_json(asdict(pinned))
    else:
        click.echo(f"{pinned.secret}/versions/{pinned.version}")
