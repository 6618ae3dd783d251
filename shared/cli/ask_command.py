"""``lectern ask``"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shared import settings
from shared.cli.console import command_errors, emit_json, err, json_option, out, say
from shared.resilience.deadline import Deadline

if TYPE_CHECKING:
    from shared.answering.answers import Answer

NOT_FOUND_EXIT = 3


@click.command("ask")
@click.argument("question")
@json_option
@command_errors
def command(*, question: str, as_json: bool) -> None:
    """Ask QUESTION and print the answer: quoted passages, each with the link to its heading.

    Uses the stack of a running `lectern run`, or starts one for the question. Exit code 3 when the
    documentation does not say.
    """
    from shared.wiring import chat
    from shared.wiring.parts import Parts
    from shared.wiring.stack import running, services

    loaded = settings.load()
    with services(loaded, lambda _: None) as ready:
        with Parts(ready.settings) as parts:
            asked = chat.question(question, loaded)
            answer = chat.service(parts).ask(asked, Deadline.after(loaded.request_deadline_seconds))
        addresses = running(Path(loaded.home))
    if as_json:
        emit_json(asdict(answer))
    else:
        _show(answer, addresses.page if addresses else "")
    if answer.kind == "not_found":
        raise SystemExit(NOT_FOUND_EXIT)


def _show(answer: Answer, page: str) -> None:
    out.print(answer.answer, markup=False)
    for citation in answer.citations:
        out.print()
        out.print(
            f"[{citation.n}] {' > '.join((citation.title, *citation.heading_path))}",
            markup=False,
            style="bold",
        )
        out.print(_absolute(citation.url, page), markup=False, style="cyan", soft_wrap=True)
        for line in citation.quote.splitlines():
            out.print(f"    {line}", markup=False, soft_wrap=True)
    for near in answer.nearest:
        out.print(f"  {near.title}  {_absolute(near.url, page)}", markup=False, soft_wrap=True)
    for reason in answer.degraded:
        err.print(f"degraded: {reason}", markup=False, style="yellow")
    urls = [*(one.url for one in answer.citations), *(one.url for one in answer.nearest)]
    if not page and any(url.startswith("/") for url in urls):
        say("(the links open while `make run` serves them)")


def _absolute(url: str, page: str) -> str:
    return page + url if url.startswith("/") else url
