"""``lectern run``"""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shared import settings
from shared.cli.console import bar, command_errors, err, say

if TYPE_CHECKING:
    from shared.wiring.local import LocalServer
    from shared.wiring.sample import Site


@click.command("run")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one."
)
@click.option(
    "--docs",
    type=click.Path(path_type=Path),
    help="Folder of Markdown to serve and ingest instead of Lectern's own handbook.",
)
@click.option(
    "--fake-gemini",
    is_flag=True,
    help="Let a stand-in for Gemini write and embed, to try generated answers without a key.",
)
@click.option("--no-ingest", is_flag=True, help="Serve what is indexed already.")
@click.option("--die-with-parent", is_flag=True, hidden=True)
@command_errors
def command(
    *, port: int, docs: Path | None, fake_gemini: bool, no_ingest: bool, die_with_parent: bool
) -> None:
    """Serve Lectern on this machine, with the handbook as a sample.

    Starts a real Postgres, Qdrant's engine and a folder as bucket under .lectern/ (LECTERN_HOME moves it),
    ingests the handbook, and prints the address of a page to ask questions on. Ctrl+C stops everything.
    Services that the settings name (DATABASE_URL, QDRANT_URL, STORAGE_BUCKET) are used instead.
    """
    started = time.monotonic()
    if die_with_parent:
        _die_with_parent()
    from shared.wiring import gemini, sample
    from shared.wiring.local import LocalServer
    from shared.wiring.stack import services

    site = sample.site(docs)
    with ExitStack() as stack:
        loaded = settings.load()
        loaded, line = stack.enter_context(gemini.stand_in(loaded)) if fake_gemini else gemini.settled(loaded)
        say(line)
        ready = stack.enter_context(services(loaded, say, share=False))
        chosen = site.settings(ready.settings)
        server = LocalServer(chosen, port, site.wsgi(), Path(loaded.home, "functions.log"))
        if not no_ingest:
            _ingest(chosen, site, is_asked_for=docs is not None)
        ready.announce(server.url)
        stopping = _serve(server)
        seconds = time.monotonic() - started
        err.print(f"[bold green]Lectern answers at {server.url}[/]  (after {seconds:.1f} s; Ctrl+C stops)")
        stopping.wait()
        say("Stopping ...")
        server.stop()


def _ingest(ready: settings.Settings, site: Site, *, is_asked_for: bool) -> None:
    """Bring the index to the site, but never put the sample in the place of somebody's own."""
    from shared.wiring import ingest

    live = ingest.live_generation(ready)
    if live and live.source != site.source and not is_asked_for:
        say(f"The index holds {live.source}: left as it is (`lectern reset` to start with the handbook).")
        return
    with bar("Ingesting") as progress:
        report = ingest.run(
            ready,
            site.folder,
            ready.site_base_url,
            source=site.source,
            allow_removal=is_asked_for,
            writing=progress,
            on_refused=lambda line: say(f"left out: {line}"),
        )
    say(report.summary())


def _serve(server: LocalServer) -> threading.Event:
    """Serve in a thread; the event is set when somebody asks us to stop."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    threading.Thread(target=server.serve, name="http", daemon=True).start()
    return stopping


def _die_with_parent() -> None:
    """Have Linux end this process when the one that started it ends, however that happens."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
