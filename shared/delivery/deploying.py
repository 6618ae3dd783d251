"""A candidate on every function, with a tag and without readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from shared.delivery.compatibility import may_follow
from shared.delivery.desk import Desk, said
from shared.delivery.fleet import Decide, Outcome
from shared.delivery.platform import Member, members
from shared.delivery.release import (
    CANDIDATE,
    Release,
    Step,
    check_image,
    commit_of,
    release_id,
    revision_of,
    tag_of,
)
from shared.delivery.standing import (
    CANARY,
    CONTRACTS,
    FAILED,
    HOLD,
    LEASE,
    Standing,
    forgotten,
    pinned,
    split,
    whole,
)
from shared.delivery.template import function_template
from shared.delivery.tending import take_back
from shared.errors import (
    ReleaseBusy,
    ReleaseError,
    ReleaseHeld,
    ReleaseRefused,
    ReleaseUnhealthy,
)
from shared.ports import Change, Service

_POLL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Code:
    """What the code that is released needs: its last migration, the schema that its migrations contract to
    (see :mod:`shared.delivery.compatibility`), the fingerprint of the index it reads best; and what is there:
    the last migration of the ``database``.
    """

    schema: str
    contracts: str
    fingerprint: str
    database: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to release. ``by_hand``: a person asks, which lifts a hold and forgets an earlier failure."""

    commit: str
    image: str
    by_hand: bool = False
    wait_seconds: float = 0.0


def deploy(desk: Desk, wanted: Wanted, code: Code) -> Release:
    """Deploy a candidate without readers; its manifest. Doing it again changes nothing.

    A candidate whose container does not come up is condemned and taken back.
    """
    check_image(wanted.image)
    found = _free(desk, wanted)
    release = _manifest(desk, wanted, code, found)
    stable = desk.manifests.find(found.stable, desk.call()) if found.stable else None
    problems = may_follow(release, code.database, stable)
    if problems:
        raise ReleaseRefused(
            f"Release {release.id} cannot be tried: {'; '.join(problems)}.",
            hint="Run `lectern migrate` first.",
        )
    if found.candidate not in {"", release.id}:
        desk.say(f"Release {found.candidate} was left at {found.share} %: taking it back first.")
        take_back(desk, found.candidate, Step(desk.now(), "left by its build"), condemned=False)
    desk.manifests.save(release, desk.call())
    _put(desk, release, found, by_hand=wanted.by_hand)
    return release


def _free(desk: Desk, wanted: Wanted) -> Standing:
    """Where things stand, once no other release is under way."""
    release_id(wanted.commit)
    ends = desk.now() + wanted.wait_seconds
    found = desk.standing()
    while _is_busy(desk, found, wanted):
        if desk.now() >= ends:
            raise ReleaseBusy(
                f"Release {found.candidate} is under way, at {found.share} % of the readers.",
                hint="Wait for it, or end it with `lectern rollback`.",
            )
        desk.say(f"Waiting for release {found.candidate}, which is at {found.share} % ...")
        desk.sleep(_POLL_SECONDS)
        found = desk.standing()
    if not wanted.by_hand:
        _admit(found, wanted)
    return found


def _is_busy(desk: Desk, found: Standing, wanted: Wanted) -> bool:
    return found.tended(desk.now()) and commit_of(found.candidate) != wanted.commit[:7]


def _admit(found: Standing, wanted: Wanted) -> None:
    """Raise when automation must not release this."""
    again = f"lectern release start --commit {wanted.commit} --image {wanted.image}"
    if found.hold is not None:
        what = (
            f"release {found.hold.release} was taken back by hand" if found.hold.release else found.hold.why
        )
        why = f" ({found.hold.why})" if found.hold.release and found.hold.why else ""
        raise ReleaseHeld(
            f"Readers stay where they are: {what}{why}. No build releases until a person does.",
            hint=f"When the cause is gone, release by hand: {again}",
        )
    failure = found.failure(wanted.commit)
    if failure is not None:
        raise ReleaseRefused(
            f"Release {failure.release} of this commit was condemned: {failure.why}.",
            hint=f"Push a commit that mends it; or, if the cause lay elsewhere, release by hand: {again}",
        )


def _manifest(desk: Desk, wanted: Wanted, code: Code, found: Standing) -> Release:
    """The manifest of this attempt: of the one under way when it is the same, else a new one."""
    attempt = 1
    while True:
        known = desk.manifests.find(release_id(wanted.commit, attempt), desk.call())
        if known is None:
            break
        if known.state == CANDIDATE and known.image == wanted.image:
            return known
        if known.id == found.stable and known.image == wanted.image and not wanted.by_hand:
            raise ReleaseRefused(
                f"Readers are on release {known.id} already.", hint="There is nothing to do."
            )
        attempt += 1
    identifier = release_id(wanted.commit, attempt)
    return Release(
        id=identifier,
        commit=wanted.commit,
        image=wanted.image,
        environment=desk.environment.name,
        created_at=round(desk.now(), 3),
        previous=found.stable,
        schema=code.schema,
        contracts=code.contracts,
        fingerprint=code.fingerprint,
        revisions={name: revision_of(name, identifier) for name in found.services},
        before={name: pinned(service) for name, service in found.services.items()},
    )


def _put(desk: Desk, release: Release, found: Standing, *, by_hand: bool) -> None:
    notes = {CANARY: release.id, LEASE: desk.lease(release.id)}
    if taken := max(found.contracts, release.contracts):
        notes[CONTRACTS] = taken
    if by_hand:
        notes |= {HOLD: "", FAILED: forgotten(found.failures, release.id)}
    desk.say(f"Deploying {release.id} to {len(found.services)} services, without readers ...")
    started = desk.now()
    outcomes = desk.fleet.change_all(_deciding(desk, release, notes), desk.change())
    outcomes = [one for one in outcomes if one.error] or desk.fleet.change_all(
        {name: _tagging(release) for name in desk.fleet.names}, desk.change()
    )
    failed = [one for one in outcomes if one.error]
    if failed:
        _give_up(desk, release, failed)
    step = Step(desk.now(), "deployed", seconds=round(desk.now() - started, 1))
    desk.manifests.note(release.id, step, desk.call())


def _deciding(desk: Desk, release: Release, notes: Mapping[str, str]) -> dict[str, Decide]:
    """Make the revision while readers are held on stable by its name; it gets its tag once it is up: a route
    to a revision that does not come up could not be changed any more, not even for a rollback.
    """

    def of(name: str, member: Member) -> Decide:
        revision = revision_of(name, release.id)
        template = function_template(desk.environment, member, release.image, revision, release.id)

        def decide(service: Service) -> Change | None:
            own = notes if name == desk.fleet.chat else {}
            if _is_tagged(service, release):
                return Change(annotations=own) if own else None
            change = whole(service, pinned(service), own) or Change()
            return replace(change, template=template)

        return decide

    return {name: of(name, member) for name, member in members(desk.environment.platform).items()}


def _tagging(release: Release) -> Decide:
    def decide(service: Service) -> Change | None:
        if _is_tagged(service, release):
            return None
        return split(service, pinned(service), revision_of(service.name, release.id), release.id, 0)

    return decide


def _is_tagged(service: Service, release: Release) -> bool:
    """Whether the candidate is there already: the same build again leaves its readers where they are."""
    wanted = (tag_of(release.id), revision_of(service.name, release.id))
    return any((target.tag, target.revision) == wanted for target in service.traffic)


def _give_up(desk: Desk, release: Release, failed: list[Outcome]) -> None:
    """Take the candidate back; condemn it when a container of its own is what does not come up."""
    words = tuple(f"{one.service}: {said(one.error)}" for one in failed if one.error)
    condemned = any(
        desk.fleet.refuses(one.service, revision_of(one.service, release.id), desk.call()) for one in failed
    )
    what = "did not come up" if condemned else "could not be deployed"
    verdict = "unhealthy" if condemned else "inconclusive"
    step = Step(round(desk.now(), 3), what, verdict=verdict, reasons=words)
    take_back(desk, release.id, step, condemned=condemned)
    message = f"Release {release.id} {what}: {'; '.join(words)}"
    if not condemned:
        raise ReleaseError(message, hint="No reader met it. Mend what it says and run the build again.")
    raise ReleaseUnhealthy(message, hint="No reader met it. Look at its log, mend it and push again.")
