"""The last step of a release: the other functions follow chat, and the set is one release again."""

from __future__ import annotations

from shared.delivery.compatibility import IndexSwitch
from shared.delivery.desk import Desk, said
from shared.delivery.fleet import Decide, Outcome
from shared.delivery.jobs import deploy_jobs, jobs_of
from shared.delivery.release import RELEASED, STABLE_TAG, Release, Step, revision_of
from shared.delivery.standing import CANARY, LEASE, WHOLE, Standing, split, stable_revision, whole
from shared.delivery.tending import check_under_way, check_unmoved, taken_back_on_errors, under_way
from shared.errors import LecternError, ReleaseError
from shared.ports import Change, Service, Template


def finish(desk: Desk, index: IndexSwitch, release: str) -> None:
    """Switch every other function and the jobs, then make it stable; the manifest notes the live generation.
    When one cannot be switched, the whole set is taken back. Doing it again after a kill goes on where it
    was.
    """
    found = desk.standing()
    if found.candidate != release and found.stable == release:
        desk.say(f"Release {release} is stable already; tidying up.")
    else:
        _check_share(found, release)
        _follow(desk, release)
    _tidy(desk, found, release)
    _note(desk, index, release)


def _check_share(found: Standing, release: str) -> None:
    if found.candidate == release and found.hold is None and found.share != WHOLE:
        raise ReleaseError(
            f"Release {release} has {found.share} % of the readers; only one that has all can be finished.",
            hint=f"Run `lectern release canary {release}` first, or see `lectern release status`.",
        )


def _follow(desk: Desk, release: str) -> None:
    with taken_back_on_errors(desk, release, "switch"):
        found = under_way(desk, release)
        jobs = _jobs(desk, desk.manifests.get(release, desk.call()))
        _all_follow(desk.fleet.change_all(_switching(found, release), desk.change()))
        # Last, since a job that starts now runs what it is given, whatever becomes of the services.
        _all_follow(deploy_jobs(desk.jobs, jobs, desk.change(), desk.sleep))
        # The one write that makes it stable; before it, everything goes back to what is tagged stable.
        desk.fleet.change(found.chat, lambda chat: _made_stable(chat, release), desk.change())


def _made_stable(chat: Service, release: str) -> Change | None:
    revision = revision_of(chat.name, release)
    if CANARY in chat.annotations or stable_revision(chat) != revision:
        check_under_way(chat, release)
    return whole(chat, revision, {CANARY: "", LEASE: ""})


def _jobs(desk: Desk, made: Release) -> dict[str, Template]:
    return jobs_of(desk.environment, made.image, made.id)


def _switching(found: Standing, release: str) -> dict[str, Decide]:
    """The others, each keeping the tag that leads back until the whole set has moved."""

    def decide(service: Service) -> Change | None:
        check_unmoved(service)
        candidate = revision_of(service.name, release)
        stable = stable_revision(service)
        if stable == candidate:
            return None
        return split(service, stable, candidate, release, WHOLE)

    return {name: decide for name in found.services if name != found.chat}


def _all_follow(outcomes: list[Outcome]) -> None:
    problem = "; ".join(f"{one.service}: {said(one.error)}" for one in outcomes if one.error)
    if problem:
        raise ReleaseError(
            f"Not every function could follow: {problem}. The whole set was taken back.",
            hint="Run the build again.",
        )


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


def _note(desk: Desk, index: IndexSwitch, release: str) -> None:
    """What a rollback to it needs to know, once."""
    made = desk.manifests.find(release, desk.call())
    if made is None or made.state == RELEASED:
        return
    facts = {"state": RELEASED, "generation": _generation(desk, index), "jobs": _jobs(desk, made)}
    desk.manifests.note(release, Step(round(desk.now(), 3), "released", WHOLE), desk.call(), **facts)


def _generation(desk: Desk, index: IndexSwitch) -> str:
    try:
        return index.look(desk.call()).live
    except LecternError as error:
        desk.say(f"The live generation could not be noted: {error}")
        return ""
