"""One ingestion in a process of its own, to be killed.

``python -m tests.kill.ingest_child PLACE SOURCE MODEL [RUN TASK]``.
The settings come from the environment. The embedder is the one that costs nothing; it takes a moment for each
call, so that a kill may fall into one.
"""

from __future__ import annotations

import sys
import time

from shared import settings
from shared.wiring.ingestion import Wanted, ingestion
from shared.wiring.parts import Parts
from shared.wiring.sources import open_source
from tests.embedders import HashedWords


class Slow(HashedWords):
    """Takes as long for a call as a service would."""

    def embed_documents(self, texts, deadline):
        time.sleep(0.005)
        return super().embed_documents(texts, deadline)


def main(place: str, source: str, model: str, run_id: str = "", task: str = "0") -> None:
    own = settings.load()
    with Parts(own) as parts, open_source(own, place, "/docs") as pages:
        parts.embedder = Slow(model)
        made = ingestion(parts)
        if run_id:
            report = made.run_task(run_id, int(task), pages)
        else:
            report = made.run(Wanted(place, "/docs", source).run(made.fingerprint), pages)
    print(report.summary() if report else "others are not done yet", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
