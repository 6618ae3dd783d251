"""``lectern eval``"""

from __future__ import annotations

from pathlib import Path

import click

from shared import settings
from shared.cli.console import bar, command_errors, emit_json, json_option, say


@click.command("eval")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@command_errors
def command(*, folder: Path, as_json: bool) -> None:
    """Score retrieval on FOLDER, which holds docs.jsonl, queries.jsonl and qrels.tsv.

    The documents go through the production path into an index of their own, which is deleted afterwards:
    what readers see is not touched. Scores are over the main query types (those that do not end in _nav).
    """
    from shared.wiring import evaluate
    from shared.wiring.stack import services

    with services(settings.load(), say) as ready, bar("Indexing") as indexing, bar("Asking") as asking:
        progress = evaluate.Progress(indexing, asking)
        scores = evaluate.run(ready.settings, folder, progress)
    if as_json:
        emit_json(scores)
        return
    for name, value in scores.items():
        click.echo(f"{name:12} {value}")
