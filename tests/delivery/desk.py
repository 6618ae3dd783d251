"""A release's desk without a cloud: services in memory, a folder of manifests, a clock that sleep moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from shared.delivery.canary import Canary, Eyes
from shared.delivery.compatibility import Index
from shared.delivery.deploying import Code, Wanted, deploy
from shared.delivery.desk import Desk
from shared.delivery.finishing import Ending, finish
from shared.delivery.fleet import Fleet
from shared.delivery.observations import Asked, Pair
from shared.delivery.platform import FUNCTIONS, Environment, service_name
from shared.delivery.platform_file import load_platform
from shared.delivery.release import Manifests, Release
from shared.delivery.verdict import Criteria
from shared.embedded.folder import FolderStore
from shared.ports import Readers
from shared.resilience.deadline import Deadline
from shared.settings import ROOT
from tests.fakes.cloud_run.memory import MemoryServices

GOOD = Asked("q", 200, 0.1, right=True, cited=True)
BAD = Asked("q", 500, 0.1)
CODE = Code(schema="0004_ingestion", contracts="", fingerprint="f1", database="0004_ingestion")
IMAGE = "europe-west1-docker.pkg.dev/p/r/lectern@sha256:" + "0" * 64


@dataclass
class Answers:
    """``Questions``: the candidate answers as ``candidate`` says for the share that it has; stable as
    ``stable``.
    """

    share: Callable[[], int]
    candidate: Callable[[int], Asked] = lambda _share: GOOD
    stable: Callable[[int], Asked] = lambda _share: GOOD
    asked: list[tuple[str, str]] = field(default_factory=list)

    def ask(self, candidate_url: str, stable_url: str, deadline: Deadline) -> Pair:  # noqa: ARG002
        self.asked.append((candidate_url, stable_url))
        share = self.share()
        return Pair(self.candidate(share), self.stable(share))


class NoReaders:
    """``Measurements`` of a site that nobody reads."""

    def readers(
        self,
        service: str,  # noqa: ARG002 - the port's signature, as below
        revisions: Sequence[str],
        start: float,  # noqa: ARG002
        end: float,  # noqa: ARG002
        deadline: Deadline,  # noqa: ARG002
    ) -> dict[str, Readers]:
        return {name: Readers() for name in revisions}


@dataclass
class MemoryIndex:
    """``IndexSwitch``."""

    index: Index = field(default_factory=lambda: Index("g0001", {"g0001": "f1"}))

    def look(self, deadline: Deadline) -> Index:  # noqa: ARG002 - the port's signature
        return self.index

    def switch(self, generation: str, deadline: Deadline) -> None:  # noqa: ARG002
        self.index = Index(generation, self.index.fingerprints)


def _quick(environment: Environment) -> Environment:
    """Fewer questions than in earnest, so that a thousand releases take a minute."""
    canary = replace(environment.platform.canary, step_seconds=20, questions=10, patience_seconds=500)
    return replace(environment, platform=replace(environment.platform, canary=canary))


class Rig:
    """One environment. ``now`` is its clock."""

    def __init__(self, folder: Path) -> None:
        self.services = MemoryServices()
        for name in FUNCTIONS:
            self.services.add(service_name(name))
        self.now = 1_000_000.0
        self.said: list[str] = []
        self.index = MemoryIndex()
        self.answers = Answers(lambda: self.standing().share)
        fleet = Fleet(self.services, [service_name(name) for name in FUNCTIONS], self.sleep)
        environment = _quick(load_platform("staging", ROOT / "config"))
        self.desk = Desk(
            fleet, Manifests(FolderStore(folder)), environment, lambda: self.now, self.sleep, self.said.append
        )

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.01)

    def standing(self):
        return self.desk.standing()

    def image(self, number: int) -> str:
        return IMAGE[:-8] + f"{number:08x}"

    def commit(self, number: int) -> str:
        return f"{number:07x}" + "a" * 33

    # ------------------------------------------------------------ what a build does

    def deploy(self, number: int, *, by_hand: bool = False, code: Code = CODE, image: str = "") -> Release:
        wanted = Wanted(self.commit(number), image or self.image(number), by_hand)
        return deploy(self.desk, wanted, code)

    def canary(self, release: str) -> Canary:
        eyes = Eyes(self.answers, NoReaders(), lambda _service, _url, _deadline: "", Criteria())
        return Canary(self.desk, eyes, release)

    def build(self, number: int, *, by_hand: bool = False) -> Release:
        """All steps."""
        made = self.deploy(number, by_hand=by_hand)
        self.canary(made.id).smoke()
        self.canary(made.id).run()
        finish(self.desk, Ending(self.services, self.index), made.id)
        return made

    def one_set(self) -> str:
        """The release that every service gives to everybody; empty when they differ."""
        found = set()
        for name, service in self.services.services.items():
            shares = {one.revision: one.percent for one in service.traffic if one.percent}
            if list(shares.values()) != [100]:
                return ""
            found.add(next(iter(shares)).removeprefix(f"{name}-"))
        return found.pop() if len(found) == 1 else ""
