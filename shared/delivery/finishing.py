"""The last step of a release: the other functions follow chat, and the set is one release again."""

from __future__ import annotations

from dataclasses import dataclass

from shared.delivery.compatibility import IndexSwitch
from shared.delivery.desk import Desk, said
from shared.delivery.fleet import Decide, Outcome
from shared.delivery.jobs import deploy_jobs, jobs_of
from shared.delivery.release import RELEASED, STABLE_TAG, Step, revision_of
from shared.delivery.returning import take_back
from shared.delivery.standing import CANARY, LEASE, WHOLE, Standing, split, stable_revision, whole
from shared.errors import LecternError, ReleaseError
from shared.ports import Change, JobTemplates, Service


@dataclass(frozen=True, slots=True)
class Ending:
    """What a release ends with, beside services: jobs run its image, its manifest names the live
    generation.
    """

    jobs: JobTemplates
    index: IndexSwitch


def finish(desk: Desk, ending: Ending, release: str) -> None:
    """Switch every other function and the jobs, then make it stable. When one cannot be switched, the whole
    set is taken back. Doing it again after a kill goes on where it was.
    """
    found = desk.standing()
    if found.candidate != release and found.stable == release:
        desk.say(f"Release {release} is stable already; tidying up.")
        _tidy(desk, found, release)
        return
    _check(found, release)
    outcomes = desk.fleet.change_all(_switching(found, release), desk.change())
    templates = jobs_of(desk.environment, desk.manifests.get(release, desk.call()).image, release)
    outcomes += deploy_jobs(ending.jobs, templates, desk.change(), desk.sleep)
    problem = _problem(outcomes)
    if problem:
        step = Step(desk.now(), "switch", WHOLE, "unhealthy", (problem,))
        take_back(desk, release, step, condemned=False)
        raise ReleaseError(
            f"Not every function could follow: {problem}. The whole set was taken back.",
            hint="Run the build again.",
        )
    # The one write that makes it stable; before it, everything goes back to what is tagged stable.
    notes = {CANARY: "", LEASE: ""}
    desk.fleet.change(
        found.chat, lambda service: whole(service, revision_of(service.name, release), notes), desk.change()
    )
    _tidy(desk, found, release)
    facts = {"state": RELEASED, "generation": _generation(desk, ending), "jobs": templates}
    desk.manifests.note(release, Step(round(desk.now(), 3), "released", WHOLE), desk.call(), **facts)


def _check(found: Standing, release: str) -> None:
    if found.candidate != release or found.share != WHOLE or found.hold is not None:
        raise ReleaseError(
            f"Release {release} has {found.share} % of the readers; only one that has all can be finished.",
            hint=f"Run `lectern release canary {release}` first, or see `lectern release status`.",
        )


def _switching(found: Standing, release: str) -> dict[str, Decide]:
    """The others, each keeping the tag that leads back until the whole set has moved."""

    def decide(service: Service) -> Change | None:
        candidate = revision_of(service.name, release)
        stable = stable_revision(service)
        if stable == candidate:
            return None
        return split(service, stable, candidate, release, WHOLE)

    return {name: decide for name in found.services if name != found.chat}


def _problem(outcomes: list[Outcome]) -> str:
    return "; ".join(f"{one.service}: {said(one.error)}" for one in outcomes if one.error)


def _tidy(desk: Desk, found: Standing, release: str) -> None:
    """The candidate's tags become the stable ones; a service that cannot be tidied serves all the same."""

    def decide(service: Service) -> Change | None:
        return whole(service, revision_of(service.name, release))

    outcomes = desk.fleet.change_all(
        {name: decide for name in found.services if name != found.chat}, desk.change()
    )
    for one in outcomes:
        if one.error:
            desk.say(
                f"{one.service} serves {release}, but its tag {STABLE_TAG} could not be moved: {one.error}"
            )


def _generation(desk: Desk, ending: Ending) -> str:
    try:
        return ending.index.look(desk.call()).live
    except LecternError as error:
        desk.say(f"The live generation could not be noted: {error}")
        return ""
