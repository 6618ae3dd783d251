"""A candidate on every function, with a tag and without readers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn

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
    accepted,
    forgotten,
    moved_by_hand,
    pinned,
    shares,
    split,
    standing,
    tending,
    whole,
)
from shared.delivery.template import function_template
from shared.delivery.tending import (
    check_unmoved,
    condemn,
    not_under_way,
    note,
    take_back,
    taken_back_on_errors,
)
from shared.errors import (
    ReleaseBusy,
    ReleaseError,
    ReleaseHeld,
    ReleaseNotUnderWay,
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
    release_id(wanted.commit)
    ends = desk.now() + wanted.wait_seconds
    while True:
        found = _free(desk, wanted, ends)
        try:
            return _deploy(desk, wanted, code, found)
        except ReleaseBusy:  # another build was faster
            if desk.now() >= ends:
                raise
            desk.sleep(_POLL_SECONDS)


def _deploy(desk: Desk, wanted: Wanted, code: Code, found: Standing) -> Release:
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
        left = Step(desk.now(), "left by its build")
        free = partial(_check_free, desk, wanted)
        take_back(desk, found.candidate, left, condemned=False, check=free)
    _claim(desk, release, wanted)
    with taken_back_on_errors(desk, release.id, "could not be deployed"):
        desk.manifests.save(release, desk.call())
        _put(desk, release, by_hand=wanted.by_hand)
    return release


def _free(desk: Desk, wanted: Wanted, ends: float) -> Standing:
    """Where things stand, once no other release is under way."""
    while True:
        found = desk.standing()
        try:
            _check_free(desk, wanted, found.services[found.chat])
        except ReleaseBusy as error:
            if desk.now() >= ends:
                raise
            desk.say(f"Waiting: {error.message}")
            desk.sleep(_POLL_SECONDS)
        else:
            break
    if not wanted.by_hand:
        _admit(found, wanted)
    return found


def _check_free(desk: Desk, wanted: Wanted, chat: Service) -> None:
    """Raise while somebody tends the release of another commit."""
    other = tending(chat, desk.now())
    if other and commit_of(other) != commit_of(release_id(wanted.commit)):
        share = shares(chat).get(revision_of(chat.name, other), 0)
        raise ReleaseBusy(
            f"Release {other} is under way, at {share} % of the readers.",
            hint="Wait for it, or end it with `lectern rollback`.",
        )


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
            if known.id == found.candidate:
                return known
            break  # killed before any function had it: what is stable may be another by now
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
        steps=known.steps if known else (),
    )


def _claim(desk: Desk, release: Release, wanted: Wanted) -> None:
    """Write on chat that this release is under way, if nobody else's is: of two builds that waited, one does.
    Readers are held on stable by its name from here on.
    """

    def decide(chat: Service) -> Change | None:
        _check_free(desk, wanted, chat)
        found = standing({chat.name: chat}, chat.name)
        notes = {CANARY: release.id, LEASE: desk.lease(release.id)}
        if taken := max(found.contracts, release.contracts):
            notes[CONTRACTS] = taken
        if wanted.by_hand:
            notes |= {HOLD: "", FAILED: forgotten(found.failures, release.id)}
        else:
            _admit(found, wanted)
        return accepted(chat, notes) if _is_tagged(chat, release) else whole(chat, pinned(chat), notes)

    desk.fleet.change(desk.fleet.chat, decide, desk.change())


def _put(desk: Desk, release: Release, *, by_hand: bool) -> None:
    desk.say(f"Deploying {release.id} to {len(desk.fleet.names)} services, without readers ...")
    started = desk.now()
    outcomes = desk.fleet.change_all(_deciding(desk, release, by_hand=by_hand), desk.change())
    failed = [one for one in outcomes if one.error] or _tag(desk, release)
    if failed:
        _give_up(desk, release, failed)
    note(desk, release.id, Step(desk.now(), "deployed", seconds=round(desk.now() - started, 1)))


def _deciding(desk: Desk, release: Release, *, by_hand: bool) -> dict[str, Decide]:
    """Make the revision while readers are held on stable by its name; it gets its tag once it is up: a route
    to a revision that does not come up could not be changed any more, not even for a rollback.
    """

    def of(name: str, member: Member) -> Decide:
        revision = revision_of(name, release.id)
        template = function_template(desk.environment, member, release.image, revision, release.id)

        def decide(service: Service) -> Change | None:
            if not by_hand or name == desk.fleet.chat:
                _check_claimed(desk, service, release)
            if _is_tagged(service, release):
                return accepted(service, {}) if moved_by_hand(service) else None
            return replace(whole(service, pinned(service)) or Change(), template=template)

        return decide

    return {name: of(name, member) for name, member in members(desk.environment.platform).items()}


def _tag(desk: Desk, release: Release) -> list[Outcome]:
    """What could not be tagged. Chat goes first: it tells whether another release has claimed it meanwhile,
    whose tags the others may have by now.
    """
    tagging = _tagging(desk, release)
    others = [name for name in desk.fleet.names if name != desk.fleet.chat]
    for names in ([desk.fleet.chat], others):
        outcomes = desk.fleet.change_all(dict.fromkeys(names, tagging), desk.change())
        if failed := [one for one in outcomes if one.error]:
            return failed
    return []


def _tagging(desk: Desk, release: Release) -> Decide:
    def decide(service: Service) -> Change | None:
        _check_claimed(desk, service, release)
        if _is_tagged(service, release):
            return None
        revision = revision_of(service.name, release.id)
        change = split(service, pinned(service), revision, release.id, 0)
        if service.name != desk.fleet.chat:
            return change
        return replace(change, annotations={**(change.annotations or {}), LEASE: desk.lease(release.id)})

    return decide


def _check_claimed(desk: Desk, service: Service, release: Release) -> None:
    """Raise when somebody moved traffic, or claimed chat for another release, since this one began."""
    check_unmoved(service)
    other = service.annotations.get(CANARY, "")
    if service.name == desk.fleet.chat and other != release.id:
        raise not_under_way(release.id, other)


def _is_tagged(service: Service, release: Release) -> bool:
    """Whether the candidate is there already: the same build again leaves its readers where they are."""
    wanted = (tag_of(release.id), revision_of(service.name, release.id))
    return any((target.tag, target.revision) == wanted for target in service.traffic)


def _give_up(desk: Desk, release: Release, failed: list[Outcome]) -> NoReturn:
    """Condemn it when a container of its own is what does not come up; otherwise it is only taken back."""
    for one in failed:
        if isinstance(one.error, (ReleaseHeld, ReleaseNotUnderWay)):
            raise one.error
    words = tuple(f"{one.service}: {said(one.error)}" for one in failed if one.error)
    if not any(
        desk.fleet.refuses(one.service, revision_of(one.service, release.id), desk.call()) for one in failed
    ):
        raise ReleaseError(
            f"Release {release.id} could not be deployed: {'; '.join(words)}",
            hint="No reader met it. Mend what it says and run the build again.",
        )
    step = Step(round(desk.now(), 3), "did not come up", verdict="unhealthy", reasons=words)
    left = condemn(desk, release.id, step)
    raise ReleaseUnhealthy(
        f"Release {release.id} did not come up: {'; '.join(words)}{left and '.' + left}",
        hint="No reader met it. Look at its log, mend it and push again.",
    )
