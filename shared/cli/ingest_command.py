"""``lectern ingest``"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click

from shared import settings
from shared.cli.console import bar, command_errors, emit_json, json_option, say


@click.command("ingest")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--base-url",
    help="Address of the site, such as https://docs.example.com; a built site's sitemap.xml knows it.",
)
@json_option
@command_errors
def command(*, path: Path, base_url: str | None, as_json: bool) -> None:
    """Bring the index to what PATH says now: a folder of Markdown/MDX, or of a built Docusaurus site.

    Pages that are new or changed are indexed, pages that are gone are removed, and running it twice changes
    nothing. Readers see the new state at once and never half of it. A page that cannot be read is named and
    left out; the others go on.
    """
    from shared.wiring import ingest
    from shared.wiring.stack import services

    with ExitStack() as stack:
        ready = stack.enter_context(services(settings.load(), say))
        report = ingest.run(
            ready.settings,
            path,
            base_url or "",
            reading=stack.enter_context(bar("Reading")),
            writing=stack.enter_context(bar("Ingesting")),
            on_refused=lambda line: say(f"left out: {line}"),
        )
    if as_json:
        emit_json(asdict(report))
    else:
        click.echo(report.summary())
