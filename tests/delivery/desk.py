"""A release's desk without a cloud: services in memory, a folder of manifests, a clock that sleep moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shared.delivery.canary import Alive, Canary, Eyes
from shared.delivery.compatibility import Index
from shared.delivery.deploying import Code, Wanted, deploy
from shared.delivery.desk import Desk
from shared.delivery.finishing import finish
from shared.delivery.fleet import Fleet
from shared.delivery.observations import Asked, Pair
from shared.delivery.platform import Edge, Environment, members
from shared.delivery.platform_file import load_platform
from shared.delivery.release import Manifests, Release, release_of
from shared.delivery.verdict import Criteria
from shared.embedded.folder import FolderStore
from shared.errors import Overloaded
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


class Bucket(FolderStore):
    """A folder that takes nothing while ``full`` and gives nothing while ``away``."""

    full = away = False

    def put(self, name: str, data: bytes, deadline: Deadline, **options: Any) -> Any:
        if self.full or self.away:
            raise Overloaded("gcs", f"write {name}", "it answered 503")
        return super().put(name, data, deadline, **options)

    def get(self, name: str, deadline: Deadline) -> Any:
        if self.away:
            raise Overloaded("gcs", f"read {name}", "it answered 503")
        return super().get(name, deadline)


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
    """One environment, with chat in ``second`` as well, where that names a region. ``now`` is its clock."""

    def __init__(self, folder: Path, second: str = "") -> None:
        self.services = MemoryServices()
        self.now = 1_000_000.0
        self.said: list[str] = []
        self.index = MemoryIndex()
        self.answers = Answers(lambda: self.standing().share)
        self.bucket = Bucket(folder)
        self._manifests = Manifests(self.bucket)
        self.desk = self._desk(second)

    def _desk(self, second: str) -> Desk:
        """A desk for what Terraform has made, which is what the file says."""
        environment = _quick(load_platform("staging", ROOT / "config"))
        edge = Edge(enabled=bool(second), second_region=second, domains=("docs.example.com",))
        environment = replace(environment, platform=replace(environment.platform, edge=edge))
        names = tuple(members(environment.platform))
        for name in names:
            if name not in self.services.services:
                self.services.add(name)
        fleet = Fleet(self.services, names, self.sleep)
        return Desk(
            fleet, self.services, self._manifests, environment, lambda: self.now, self.sleep, self.said.append
        )

    def apply(self, second: str) -> None:
        """Let Terraform give chat a second region, or take it away."""
        self.desk = self._desk(second)

    def patient(self, **canary: int) -> None:
        """Change settings of the canary."""
        platform = self.desk.environment.platform
        platform = replace(platform, canary=replace(platform.canary, **canary))
        self.desk = replace(self.desk, environment=replace(self.desk.environment, platform=platform))

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

    def canary(self, release: str, alive: Alive = lambda _service, _url, _deadline: "") -> Canary:
        eyes = Eyes(self.answers, NoReaders(), alive, Criteria())
        return Canary(self.desk, eyes, release)

    def build(self, number: int, *, by_hand: bool = False) -> Release:
        """All steps."""
        made = self.deploy(number, by_hand=by_hand)
        self.canary(made.id).smoke()
        self.canary(made.id).run()
        finish(self.desk, self.index, made.id)
        return made

    def one_set(self) -> str:
        """The release that every service gives to everybody; empty when they differ."""
        found = set()
        for name in self.desk.fleet.names:
            traffic = self.services.services[name].traffic
            shares = {one.revision: one.percent for one in traffic if one.percent}
            if list(shares.values()) != [100]:
                return ""
            found.add(release_of(name, next(iter(shares))) or next(iter(shares))[-len("00001-abc") :])
        return found.pop() if len(found) == 1 else ""
