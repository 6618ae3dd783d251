"""A candidate's way to all readers: asked at its tag, then given 10, 50 and 100 percent, judged at each
step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.delivery.desk import Desk, said
from shared.delivery.platform import Canary as Steps
from shared.delivery.release import STABLE_TAG, Step, revision_of, tag_of
from shared.delivery.standing import LEASE, WHOLE, Standing, split, stable_revision, url_of
from shared.delivery.tending import check_under_way, condemn, note, take_back, taken_back_on_errors, under_way
from shared.delivery.verdict import Criteria, Verdict
from shared.delivery.watching import Questions, Stretch, Watch, Watched
from shared.errors import DeadlineExceeded, DependencyError, ReleaseInconclusive, ReleaseUnhealthy
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
        with taken_back_on_errors(self._desk, self.release, "smoke"):
            found = self._mine()
            self._desk.say(f"Asking {self.release} at its tag, without readers ...")
            self._all_alive(found)
            return self._settle(self._watched(found, AT_TAG, None), AT_TAG)

    def run(self) -> None:
        """Give the candidate its shares, one after the other. A canary that was interrupted goes on at the
        share that it has. Raises as :meth:`smoke`.
        """
        before: Readers | None = None
        with taken_back_on_errors(self._desk, self.release, "canary"):
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
            check_under_way(service, self.release)
            stable = stable_revision(service)
            return split(service, stable, revision_of(service.name, self.release), self.release, share)

        self._desk.fleet.change(self._desk.fleet.chat, decide, self._desk.change())

    def _mine(self) -> Standing:
        found = under_way(self._desk, self.release)
        if found.lease and found.lease.holder == self.release:
            self._tended_until = max(self._tended_until, found.lease.until)
        return found

    def tend(self) -> None:
        """Show that somebody is here; and notice when traffic was moved by hand meanwhile. While the lease
        lasts, a Cloud Run that is away ends nothing.
        """
        seconds = self._desk.environment.platform.canary.lease_seconds
        if self._desk.now() < self._tended_until - (1 - _RENEW) * seconds:
            return
        try:
            self._mine()
            self._desk.fleet.change(self._desk.fleet.chat, self._renewing, self._desk.change())
        except (DependencyError, DeadlineExceeded) as error:
            if self._desk.now() >= self._tended_until:
                raise
            self._desk.say(f"  the lease was not renewed yet: {said(error)}")
        else:
            self._tended_until = self._desk.now() + seconds

    def _renewing(self, chat: Service) -> Change:
        check_under_way(chat, self.release)
        return Change(annotations={LEASE: self._desk.lease(self.release)})

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
        note(self._desk, self.release, step)
        return verdict

    def _condemn(self, verdict: Verdict, share: int, seconds: float, reasons: tuple[str, ...]) -> None:
        self._desk.say(f"Taking {self.release} back ...")
        left = condemn(self._desk, self.release, self._step(verdict, share, seconds, reasons))
        raise ReleaseUnhealthy(
            f"Release {self.release} is worse than stable {_place(share)}: {'; '.join(reasons)}. "
            f"It was taken back after {seconds:.0f} s and is remembered.{left}",
            hint="Push a commit that mends it; `lectern release status` shows what was seen.",
        )

    def _step(self, verdict: Verdict, share: int, seconds: float, reasons: tuple[str, ...]) -> Step:
        what = f"canary {share} %" if share else "smoke"
        return Step(round(self._desk.now(), 3), what, share, verdict.outcome, reasons, seconds)


def _place(share: int) -> str:
    return f"at {share} % of the readers" if share else "at its tag, before any reader"
