"""``lectern status``"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shared import settings
from shared.cli.console import Table, command_errors, emit_json, json_option, out, say

if TYPE_CHECKING:
    from shared.telemetry.health import DependencyHealth

_COLOURS = {"healthy": "green", "degraded": "yellow", "unhealthy": "red"}


@click.command("status")
@json_option
@command_errors
def command(*, as_json: bool) -> None:
    """Show what is indexed and whether every part answers.

    Exit code 1 when nothing works.
    """
    from shared.wiring import health, ingest
    from shared.wiring.stack import refuse_to_make, running, services

    loaded = settings.load()
    refuse_to_make(loaded)
    with services(loaded, say) as ready:
        found = health.examined(ready.settings)
        live = ingest.live_generation(ready.settings)
    page = getattr(running(Path(loaded.home)), "page", "")
    facts = {"overall_status": found.overall_status, "page": page, "live": asdict(live) if live else None}
    if as_json:
        emit_json({**facts, "dependencies": {k: asdict(v) for k, v in found.dependencies.items()}})
    else:
        _show(found.dependencies, facts)
    if found.overall_status == "unhealthy":
        raise SystemExit(1)


def _show(dependencies: Mapping[str, DependencyHealth], facts: Mapping[str, object]) -> None:
    status = str(facts["overall_status"])
    out.print(f"[{_COLOURS[status]}]{status}[/]" + (f"  page: {facts['page']}" if facts["page"] else ""))
    live = facts["live"]
    if isinstance(live, dict):
        counts = f"{live['pages']} pages, {live['chunks']} passages"
        out.print(f"live generation {live['id']}: {counts} from {live['source']}")
    else:
        out.print("nothing is indexed yet; start with `lectern ingest PATH`")
    table = Table(box=None, pad_edge=False)
    for column in ("part", "status", "ms", "detail"):
        table.add_column(column, overflow="fold")
    for name, one in dependencies.items():
        table.add_row(name, one.status, str(one.latency_ms), one.detail)
    out.print(table)
