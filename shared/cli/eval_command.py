"""``lectern eval``"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from shared import settings
from shared.cli.console import bar, command_errors, emit_json, json_option, say


@click.command("eval")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--citations", is_flag=True, help="Score the citations of answers, and the check behind them.")
@click.option(
    "--others",
    type=click.Path(path_type=Path),
    help="With --citations: a folder with another site's questions, which should be declined.",
)
@json_option
@command_errors
def command(*, folder: Path, citations: bool, others: Path | None, as_json: bool) -> None:
    """Score retrieval on FOLDER, which holds docs.jsonl, queries.jsonl and qrels.tsv.

    The documents go through the production path into an index of their own, which is deleted afterwards:
    what readers see is not touched. Scores are over the main query types (those that do not end in _nav).
    """
    from shared.wiring import evaluate, evaluate_citations
    from shared.wiring.stack import services

    with services(settings.load(), say) as ready, bar("Indexing") as indexing, bar("Asking") as asking:
        progress = evaluate.Progress(indexing, asking)
        if citations:
            scores = evaluate_citations.run(ready.settings, folder, others, progress)
        else:
            scores = evaluate.run(ready.settings, folder, progress)
    if as_json:
        emit_json(scores)
        return
    for line in _lines(scores):
        click.echo(line)


def _lines(scores: Mapping[str, Any], prefix: str = "") -> list[str]:
    lines: list[str] = []
    for name, value in scores.items():
        if isinstance(value, dict) and any(isinstance(one, dict) for one in value.values()):
            lines += _lines(value, f"{prefix}{name}.")
        else:
            lines.append(f"{prefix + name:12} {value}")
    return lines
