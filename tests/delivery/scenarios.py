"""Bad releases, each under twenty readers a second: what readers met, and what became of the set."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shared.embedded.fake_gemini import Fault
from tests.delivery import variants
from tests.delivery.place import READERS_A_SECOND, Built, Place, Ran, Readers, kill
from tests.delivery.variants import Variant
from tests.waiting import wait_for

MOST_SECONDS = 30.0
AT_TAG, MIGRATION = "at the tag", "migration"


@dataclass
class Seen:
    """What came of one release. ``where`` it was decided, ``share`` of the readers it had by then (percent),
    ``judged`` the seconds that watching took, ``seconds`` those from the start of the step that decided to
    its end, with everything taken back, ``exposed`` those from the first reader on the candidate to the last,
    ``sent`` how many readers those were, ``failed`` the readers without an answer during the whole release.
    """

    name: str
    code: str = ""
    where: str = ""
    share: int = 0
    judged: float = 0.0
    seconds: float = 0.0
    exposed: float = 0.0
    sent: int = 0
    failed: int = 0
    uncited: int = 0
    one_set: str = ""
    stable_before: str = ""
    remembered: bool = False
    candidate: Any = None
    words: str = ""
    readers: int = 0
    steps: list[Ran] = field(default_factory=list)

    @property
    def bound(self) -> float:
        """Most readers that may fail."""
        return self.share / 100 * READERS_A_SECOND * MOST_SECONDS

    def row(self) -> str:
        cells = (
            self.name,
            self.code or "released",
            self.where,
            f"{self.judged:.1f}" if self.judged else "",
            f"{self.seconds:.0f}",
            str(self.failed),
            f"{self.bound:.0f}" if self.share else "0",
            f"{self.exposed:.1f}",
            "one set" if self.one_set else "NOT ONE SET",
        )
        return "| " + " | ".join(cells) + " |"


HEAD = (
    "| Release | Verdict | Decided | Watched s | Step s | Readers failed | Allowed | Exposed s | Set |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def release(place: Place, name: str, variant: Variant, during: Callable[[], None] = lambda: None) -> Seen:
    """Release a variant under readers, as a build does, and look."""
    built = place.build(variant)
    seen = Seen(name, stable_before=place.one_set())
    with Readers(place.run.url("lectern-chat")) as readers:
        during()
        began = time.time()
        seen.steps = place.release(built)
        settle(readers)
    _look(place, built, seen, readers, began)
    return seen


def killed(place: Place, name: str = "build killed at 10 %") -> tuple[Seen, Built]:
    """Kill a build in the middle of its canary; what the next one finds."""
    built = place.build(variants.GOOD)
    seen = Seen(name, stable_before=place.one_set())
    with Readers(place.run.url("lectern-chat")) as readers:
        began = time.time()
        for words in (
            ("release", "deploy", "--commit", built.commit, "--image", built.image),
            ("release", "smoke", built.commit),
        ):
            seen.steps.append(place.lectern(built, *words))
            assert not seen.steps[-1].code, seen.steps[-1]
        process = place.start(built, "release", "canary", built.commit)
        wait_for(lambda: _share(place, built) == 10)
        wait_for(lambda: any(one.revision == f"lectern-chat-{built.commit[:7]}" for one in readers_of(place)))
        kill(process)
        settle(readers)
    _look(place, built, seen, readers, began)
    return seen, built


def readers_of(place: Place) -> list[Any]:
    """Readers' requests so far, without the questions that go to a tag."""
    return [one for one in place.run.served("lectern-chat") if not one.tag]


def is_left(place: Place) -> bool:
    """Whether nobody tends the canary any more."""
    lease = json.loads(place.run.store.service("lectern-chat").annotations["lectern/lease"])
    return bool(lease["until"] < time.time())


def _share(place: Place, built: Built) -> int:
    return place.serving()["lectern-chat"].get(f"lectern-chat-{built.commit[:7]}", 0)


def settle(readers: Readers) -> None:
    """A second more, for readers who were sent before the last change."""
    enough = len(readers.reads) + READERS_A_SECOND
    wait_for(lambda: len(readers.reads) >= enough)


def _look(place: Place, built: Built, seen: Seen, readers: Readers, began: float) -> None:
    status = place.status(built)
    last = seen.steps[-1]
    revision = f"lectern-chat-{built.commit[:7]}"
    met = [one for one in readers_of(place) if one.revision == revision and one.at >= began]
    seen.failed, seen.uncited, seen.readers = readers.failed(), readers.uncited(), len(readers.reads)
    seen.sent = len(met)
    seen.exposed = max((one.at for one in met), default=0.0) - min((one.at for one in met), default=0.0)
    seen.one_set = place.one_set()
    seen.remembered = any(one["release"].startswith(built.commit[:7]) for one in status["condemned"])
    seen.candidate = status["candidate"]
    seen.seconds = last.seconds
    seen.words = last.err.strip()
    watched = re.findall(r"(?:unhealthy|inconclusive) after ([0-9.]+) s", last.err)
    seen.judged = float(watched[-1]) if watched else 0.0
    seen.where, seen.share = _where(last, met)
    for code, sign in _SIGNS.items():
        if last.code and sign in last.err:
            seen.code = code
            break


_SIGNS = {
    "unhealthy": "is worse than stable",
    "did not come up": "did not come up",
    "inconclusive": "Nothing could be told",
    "migration failed": "migrate",
}


def _where(last: Ran, met: list[Any]) -> tuple[str, int]:
    for share in (100, 50, 10):
        if f"at {share} % of the readers" in last.err:
            return f"at {share} %", share
    if "at its tag" in last.err or "did not come up" in last.err:
        return AT_TAG, 0
    return ("", 100) if met else (MIGRATION, 0)


def outage(place: Place) -> Callable[[], None]:
    """Gemini answers 503 from now on."""
    return lambda: place.gemini.faults.always(Fault(status=503))
