"""A candidate's way to all readers: asked at its tag, then given 10, 50 and 100 percent, judged at each
step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shared.delivery.desk import Desk
from shared.delivery.platform import Canary as Steps
from shared.delivery.release import STABLE_TAG, Step, revision_of, tag_of
from shared.delivery.returning import take_back
from shared.delivery.standing import HOLD, LEASE, WHOLE, Standing, split, stable_revision, standing, url_of
from shared.delivery.verdict import Criteria, Verdict
from shared.delivery.watching import Questions, Stretch, Watch, Watched
from shared.errors import (
    ReleaseError,
    ReleaseHeld,
    ReleaseInconclusive,
    ReleaseUnhealthy,
)
from shared.ports import Change, Measurements, Readers, Service
from shared.resilience.deadline import Deadline

AT_TAG = 0
PROBE_SECONDS = 30.0
_RENEW = 0.3
"""A lease is renewed when so much of it is used up."""

Alive = Callable[[str, str, Deadline], str]
"""``(service, url, deadline)`` -> what is wrong with a revision at its own address; empty when it serves."""


@dataclass(frozen=True, slots=True)
class Eyes:
    """What a candidate is watched with."""

    questions: Questions
    measurements: Measurements
    alive: Alive
    criteria: Criteria
    accept_inconclusive: bool = False


class Canary:
    """Leads one release. Stateless: what was done already is read from the services."""

    def __init__(self, desk: Desk, eyes: Eyes, release: str) -> None:
        self._desk = desk
        self._eyes = eyes
        self.release = release
        self._tended_until = 0.0

    # ------------------------------------------------------------ the two stages

    def smoke(self) -> Verdict:
        """Ask the candidate at its tag, where no reader comes: every function must serve, and chat must
        answer as well as stable. Raises ``ReleaseUnhealthy`` or ``ReleaseInconclusive``, taken back.
        """
        found = self._mine()
        self._desk.say(f"Asking {self.release} at its tag, without readers ...")
        with self._taken_back_when_stopped():
            self._all_alive(found)
            return self._settle(self._watched(found, AT_TAG, None), AT_TAG)

    def run(self) -> None:
        """Give the candidate its shares, one after the other. A canary that was interrupted goes on at the
        share that it has. Raises as :meth:`smoke`.
        """
        before: Readers | None = None
        with self._taken_back_when_stopped():
            for share in self._shares(self._mine()):
                self._desk.say(f"{share} % of the readers to {self.release} ...")
                self._shift(share)
                watched = self._watched(self._mine(), share, before)
                self._settle(watched, share)
                before = watched.seen.stable

    def _shares(self, found: Standing) -> list[int]:
        steps = self._desk.environment.platform.canary.steps
        return [share for share in steps if share >= found.share]

    # ------------------------------------------------------------ moving readers

    def _shift(self, share: int) -> None:
        def decide(service: Service) -> Change | None:
            self._still_mine(service)
            stable = stable_revision(service)
            return split(service, stable, revision_of(service.name, self.release), self.release, share)

        self._desk.fleet.change(self._desk.fleet.chat, decide, self._desk.change())

    def _still_mine(self, service: Service) -> None:
        found = standing({service.name: service}, service.name)
        if found.hold is not None or service.annotations.get(HOLD):
            raise ReleaseHeld(
                f"Somebody moved the readers while {self.release} was under way: they stay where they are.",
                hint="See `lectern release status`; release again with `lectern release start`.",
            )
        if found.candidate != self.release:
            other = f"release {found.candidate}" if found.candidate else "none"
            raise ReleaseError(
                f"{self.release} is not under way ({other} is).", hint="Deploy it: `lectern release deploy`."
            )

    def _mine(self) -> Standing:
        found = self._desk.standing()
        self._still_mine(found.services[found.chat])
        return found

    def tend(self) -> None:
        """Show that somebody is here; and notice when readers were moved by hand meanwhile."""
        seconds = self._desk.environment.platform.canary.lease_seconds
        if self._desk.now() < self._tended_until - (1 - _RENEW) * seconds:
            return

        def decide(service: Service) -> Change:
            self._still_mine(service)
            return Change(annotations={LEASE: self._desk.lease(self.release)})

        self._desk.fleet.change(self._desk.fleet.chat, decide, self._desk.change())
        self._tended_until = self._desk.now() + seconds

    # ------------------------------------------------------------ looking

    def _all_alive(self, found: Standing) -> None:
        problems = []
        for name, service in found.services.items():
            problem = self._eyes.alive(
                name, url_of(service, tag_of(self.release)), Deadline.after(PROBE_SECONDS)
            )
            if problem:
                problems.append(f"{name}: {problem}")
        if problems:
            self._condemn(Verdict("unhealthy", ()), AT_TAG, 0.0, tuple(problems))

    def _watched(self, found: Standing, share: int, before: Readers | None) -> Watched:
        chat = found.services[found.chat]
        own: Steps = self._desk.environment.platform.canary
        watch = Watch(
            self._desk,
            self._eyes.questions,
            self._eyes.measurements,
            self._eyes.criteria,
            patience_seconds=own.patience_seconds,
            tend=self.tend,
        )
        stretch = Stretch(
            candidate_url=url_of(chat, tag_of(self.release)),
            stable_url=url_of(chat, STABLE_TAG),
            candidate=revision_of(chat.name, self.release),
            stable=stable_revision(chat),
            start=self._desk.now(),
            seconds=own.step_seconds if share else 0.0,
            questions=own.questions,
            pause_seconds=2 * 60.0 / own.questions_per_minute,
            stable_before=before if share == WHOLE else None,
            reads_measurements=bool(share),
        )
        return watch.watch(stretch)

    # ------------------------------------------------------------ what follows from a verdict

    def _settle(self, watched: Watched, share: int) -> Verdict:
        verdict = watched.verdict
        self._desk.say(f"  {verdict.outcome} after {watched.seconds} s: {'; '.join(verdict.reasons)}")
        if verdict.outcome == "unhealthy":
            self._condemn(verdict, share, watched.seconds, verdict.reasons)
        step = self._step(verdict, share, watched.seconds, verdict.reasons)
        if verdict.outcome == "inconclusive" and not self._eyes.accept_inconclusive:
            take_back(self._desk, self.release, step, condemned=False)
            reasons = "; ".join(verdict.reasons)
            raise ReleaseInconclusive(
                f"Nothing could be told of release {self.release} {_place(share)}: {reasons}. "
                "Readers are on stable; it is not condemned.",
                hint="Run the build again when the cause is gone, or release with --accept-inconclusive.",
            )
        self._desk.manifests.note(self.release, step, self._desk.call())
        return verdict

    def _condemn(self, verdict: Verdict, share: int, seconds: float, reasons: tuple[str, ...]) -> None:
        self._desk.say(f"Taking {self.release} back ...")
        take_back(self._desk, self.release, self._step(verdict, share, seconds, reasons), condemned=True)
        raise ReleaseUnhealthy(
            f"Release {self.release} is worse than stable {_place(share)}: {'; '.join(reasons)}. "
            "It was taken back after " + f"{seconds:.0f} s and is remembered.",
            hint="Push a commit that mends it; `lectern release status` shows what was seen.",
        )

    def _step(self, verdict: Verdict, share: int, seconds: float, reasons: tuple[str, ...]) -> Step:
        what = f"canary {share} %" if share else "smoke"
        return Step(round(self._desk.now(), 3), what, share, verdict.outcome, reasons, seconds)

    @contextmanager
    def _taken_back_when_stopped(self) -> Iterator[None]:
        """Whoever stops the release (Ctrl+C, a cancelled build) must not leave readers on it untended. A
        process that is killed outright leaves a lease that ends: the next one takes it back or goes on.
        """
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            self._desk.say(f"Stopped: taking {self.release} back ...")
            take_back(self._desk, self.release, Step(self._desk.now(), "stopped"), condemned=False)
            raise


def _place(share: int) -> str:
    return f"at {share} % of the readers" if share else "at its tag, before any reader"
