"""``lectern run``"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

import click

from shared import settings
from shared.cli.console import bar, command_errors, err, say


@click.command("run")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--docs",
    type=click.Path(path_type=Path),
    help="Folder of Markdown to serve and ingest instead of Lectern's own handbook.",
)
@click.option("--no-ingest", is_flag=True, help="Serve what is indexed already.")
@click.option("--die-with-parent", is_flag=True, hidden=True)
@command_errors
def command(*, port: int, docs: Path | None, no_ingest: bool, die_with_parent: bool) -> None:
    """Serve Lectern on this machine, with the handbook as a sample.

    Starts a real Postgres, Qdrant's engine and a folder as bucket under .lectern/ (LECTERN_HOME moves it),
    ingests the handbook, and prints the address of a page to ask questions on. Ctrl+C stops everything.
    Services that the settings name (DATABASE_URL, QDRANT_URL, STORAGE_BUCKET) are used instead.
    """
    started = time.monotonic()
    if die_with_parent:
        _die_with_parent()
    from shared.wiring import ingest, sample
    from shared.wiring.local import LocalServer
    from shared.wiring.stack import services

    loaded = settings.load()
    say(sample.models_line(loaded))
    with services(loaded, say, share=False) as ready:
        site = sample.site(docs)
        server = LocalServer(site.settings(ready.settings), port, site.wsgi)
        if not no_ingest:
            with bar("Ingesting") as progress:
                report = ingest.sample(ready.settings, site.folder, site.base_url, progress)
            say(report.summary())
        ready.announce(server.url)
        stopping = _serve(server)
        err.print(f"[bold green]Lectern answers at {server.url}[/]  ({time.monotonic() - started:.1f} s; Ctrl+C stops)")
        stopping.wait()
        say("Stopping ...")
        server.stop()


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
