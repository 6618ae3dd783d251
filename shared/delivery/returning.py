"""Taking readers back from a release that an operator wants undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shared.delivery.compatibility import Index, IndexSwitch, Return, may_return, needs_index
from shared.delivery.desk import Desk
from shared.delivery.fleet import Decide, Outcome
from shared.delivery.jobs import deploy_jobs
from shared.delivery.platform import members
from shared.delivery.release import (
    ROLLED_BACK,
    Release,
    Step,
    release_of,
    revision_of,
)
from shared.delivery.standing import (
    CANARY,
    HOLD,
    LEASE,
    Hold,
    Standing,
    pinned,
    shares,
    text_of,
    whole,
)
from shared.delivery.template import function_template
from shared.delivery.tending import note, way_back
from shared.errors import DependencyError, LecternError, ReleaseError, ReleaseRefused
from shared.ports import Change, Template
from shared.resilience.deadline import Deadline

INDEX_SECONDS = 5.0
"""Longest time that asking the index may hold a rollback up."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Where an operator's rollback leads. ``revisions``: service -> revision; ``undone`` is the release that
    readers leave, ``target`` the one they go back to ("" for what was there before the first release).
    ``templates`` are of services that are younger than ``target``, such as chat in a region that came later:
    they have no revision of it yet.
    """

    undone: str
    target: str
    revisions: Mapping[str, str]
    generation: str = ""
    notes: tuple[str, ...] = ()
    jobs: Mapping[str, Template] = field(default_factory=dict)
    templates: Mapping[str, Template] = field(default_factory=dict)


def plan_rollback(desk: Desk, index: IndexSwitch, to: str = "") -> Plan:
    """What a rollback would do. Raises :class:`ReleaseRefused` where going back cannot work, with the
    reason.
    """
    found = desk.standing()
    undone = _undone(found)
    serving = _manifest(desk, undone)
    plan = _to(found, to, undone) if to else _back(found, undone, serving)
    target = _manifest(desk, plan.target)
    returned = _may_return(target, serving, index, found.contracts)
    if returned.problems:
        raise ReleaseRefused(
            f"Readers cannot go back to release {plan.target}: {'; '.join(returned.problems)}.",
            hint="Choose another with `lectern rollback --to RELEASE`; `lectern release status` lists them.",
        )
    plan = replace(plan, generation=returned.generation, notes=returned.notes)
    return _with_younger(desk, replace(plan, jobs=target.jobs), target) if target else plan


def _with_younger(desk: Desk, plan: Plan, target: Release) -> Plan:
    """The plan with services that are younger than the target: they get its image, or readers would stay."""
    known = members(desk.environment.platform)
    revisions = {name: revision_of(name, target.id) for name in known if name not in target.revisions}
    templates = {
        name: function_template(desk.environment, known[name], target.image, revision, target.id)
        for name, revision in revisions.items()
        if not desk.fleet.has(name, revision, desk.call())
    }
    notes = tuple(f"{name} is younger than release {target.id}: it gets its image now" for name in templates)
    return replace(
        plan,
        revisions={**plan.revisions, **revisions},
        templates=templates,
        notes=(*plan.notes, *notes),
    )


def roll_back(desk: Desk, index: IndexSwitch, plan: Plan, why: str) -> list[Outcome]:
    """Move every service and job as the plan says, all at the same time, and hold: automation leaves it so.

    The outcome of each; the index is switched once readers left the release that needs it.
    """
    hold = Hold(plan.undone, round(desk.now(), 3), why)
    notes = {HOLD: text_of(hold), CANARY: "", LEASE: ""}
    deciding = _deciding(plan, desk.fleet.chat, notes)
    there = {name: decide for name, decide in deciding.items() if name not in plan.templates}
    outcomes = desk.fleet.change_all(there, desk.change()) + _brought(desk, plan, deciding)
    outcomes += deploy_jobs(desk.jobs, plan.jobs, desk.change(), desk.sleep)
    if plan.generation and not any(one.error for one in outcomes):
        index.switch(plan.generation, desk.change())
    if plan.undone and plan.undone != plan.target:
        step = Step(desk.now(), "rolled back by hand", reasons=(why,) if why else ())
        note(desk, plan.undone, step, state=ROLLED_BACK)
    return outcomes


def _deciding(plan: Plan, chat: str, notes: Mapping[str, str]) -> dict[str, Decide]:
    def of(name: str, revision: str) -> Decide:
        return lambda service: whole(service, revision, notes if name == chat else {})

    return {name: of(name, revision) for name, revision in plan.revisions.items()}


def _brought(desk: Desk, plan: Plan, deciding: Mapping[str, Decide]) -> list[Outcome]:
    """Bring the revisions up that are not there yet, readers held where they are, then move the readers: a
    route to one that does not come up could not be changed any more.
    """

    def coming(template: Template) -> Decide:
        return lambda service: replace(whole(service, pinned(service)) or Change(), template=template)

    made = desk.fleet.change_all(
        {name: coming(template) for name, template in plan.templates.items()}, desk.change()
    )
    up = {one.service: deciding[one.service] for one in made if one.error is None}
    return [one for one in made if one.error] + desk.fleet.change_all(up, desk.change())


def _undone(found: Standing) -> str:
    """What readers leave: the candidate as soon as any of them is on it, else what serves."""
    if found.candidate:
        return found.candidate
    return found.stable


def _to(found: Standing, to: str, undone: str) -> Plan:
    if to == undone and not found.differing() and not found.candidate:
        raise ReleaseError(f"Readers are on release {to} already.", hint="See `lectern release status`.")
    return Plan(undone, to, {name: revision_of(name, to) for name in found.services})


def _back(found: Standing, undone: str, serving: Release | None) -> Plan:
    if found.candidate:
        revisions = {name: way_back(service, found.candidate) for name, service in found.services.items()}
        return Plan(undone, found.stable, revisions)
    if serving is None:
        raise ReleaseError(
            "It is not known what was before: readers are on revisions without a release manifest.",
            hint="Name one: `lectern rollback --to RELEASE`; or use gcloud: see docs/release/rollback.md.",
        )
    if not serving.before:
        raise ReleaseError(
            f"Release {undone} is the first one.", hint="Release another with `lectern release start`."
        )
    before = {name: revision for name, revision in serving.before.items() if name in found.services}
    return Plan(undone, serving.previous, before)


def _manifest(desk: Desk, release: str) -> Release | None:
    """The manifest, or None: a bucket that is away stops no rollback."""
    if not release:
        return None
    try:
        return desk.manifests.find(release, desk.call())
    except DependencyError as error:
        desk.say(
            f"The manifest of release {release} could not be read, so nothing is checked against it: {error}"
        )
        return None


def _may_return(
    target: Release | None, serving: Release | None, index: IndexSwitch, contracts: str
) -> Return:
    if target is None or serving is None:
        return Return()
    looked = _look(index) if needs_index(target, serving) else None
    return may_return(target, serving, looked, database_contracts=contracts)


def _look(index: IndexSwitch) -> Index | None:
    try:
        return index.look(Deadline.after(INDEX_SECONDS))
    except LecternError:
        return None


def serving_now(found: Standing) -> dict[str, dict[str, int]]:
    """Service -> release -> percent, for whoever wants to see it."""
    return {
        name: {
            release_of(name, revision) or revision: percent for revision, percent in shares(service).items()
        }
        for name, service in found.services.items()
    }
