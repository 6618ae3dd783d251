"""Whether a candidate may go on, and its readers' way back when it ends in another way than it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from shared.delivery.desk import Desk, said, succeeded
from shared.delivery.fleet import Decide, Outcome
from shared.delivery.jobs import deploy_jobs
from shared.delivery.release import FAILED, LEFT, STABLE_TAG, Step, revision_of
from shared.delivery.standing import (
    CANARY,
    HOLD,
    LEASE,
    Failure,
    Standing,
    moved_by_hand,
    remembered,
    serving_release,
    stable_revision,
    standing,
    text_of,
    whole,
)
from shared.delivery.standing import FAILED as FAILURES
from shared.errors import (
    DeadlineExceeded,
    DependencyError,
    LecternError,
    ReleaseError,
    ReleaseHeld,
    ReleaseInconclusive,
    ReleaseNotUnderWay,
    ReleaseUnhealthy,
)
from shared.ports import Change, Service

INSIST_SECONDS = 120.0
"""How long taking chat's readers back is tried while Cloud Run is away: nobody else would do it."""
_AGAIN_SECONDS = 5.0
Check = Callable[[Service], object]
"""Raises when chat, as it has just been read, must not be touched."""


# ------------------------------------------------------------ may it go on?


def under_way(desk: Desk, release: str) -> Standing:
    """Where things stand. Raises ``ReleaseHeld`` when anybody moved any service by hand, and
    ``ReleaseNotUnderWay``.
    """
    found = desk.standing()
    _check(found, release)
    return found


def check_under_way(service: Service, release: str) -> None:
    """The same by chat alone, just before it is changed."""
    _check(standing({service.name: service}, service.name), release)


def _check(found: Standing, release: str) -> None:
    if found.hold is not None:
        why = f" ({found.hold.why})" if found.hold.why else ""
        raise ReleaseHeld(
            f"Somebody moved traffic while {release} was under way{why}: it stays where it was moved to.",
            hint="See `lectern release status`; release again with `lectern release start`.",
        )
    if found.candidate != release:
        raise not_under_way(release, found.candidate)


def check_unmoved(service: Service) -> None:
    """Raise ``ReleaseHeld`` when somebody moved a service's traffic by hand."""
    if moved_by_hand(service):
        raise ReleaseHeld(
            f"The traffic of {service.name} was changed by hand: it stays where it was moved to.",
            hint="See `lectern release status`; release again with `lectern release start`.",
        )


def not_under_way(release: str, other: str) -> ReleaseNotUnderWay:
    """The error, which names the one that is."""
    words = f"release {other}" if other else "none"
    return ReleaseNotUnderWay(
        f"{release} is not under way ({words} is).", hint="Deploy it: `lectern release deploy`."
    )


@contextmanager
def taken_back_on_errors(desk: Desk, release: str, what: str) -> Iterator[None]:
    """Whatever ends a release but its verdict must not leave readers on it untended: Ctrl+C, a cancelled
    build, traffic moved by hand, a bucket or a Cloud Run that is away, a mistake of ours. Nobody is condemned
    for that. A process that is killed outright leaves a lease that ends: the next one takes it back or goes
    on.
    """
    try:
        yield
    except (ReleaseUnhealthy, ReleaseInconclusive, ReleaseNotUnderWay):
        raise
    except BaseException as error:
        words = error.message if isinstance(error, LecternError) else str(error) or "stopped"
        desk.say(f"{words.rstrip('.')}: taking {release} back ...")
        _end(desk, release, Step(round(desk.now(), 3), what, reasons=(words,)), error)
        raise


def _end(desk: Desk, release: str, step: Step, cause: BaseException) -> None:
    try:
        take_back(desk, release, step, condemned=False)
    except ReleaseNotUnderWay as error:
        desk.say(f"It was left as it is: {error.message}")
    except LecternError as error:
        raise ReleaseError(
            f"Release {release} ended ({step.reasons[0]}) and could not be taken back: {error.message}",
            hint="See `lectern release status`, then `lectern rollback`.",
        ) from cause


# ------------------------------------------------------------ back to stable


def take_back(
    desk: Desk, release: str, step: Step, *, condemned: bool, check: Check = lambda _chat: None
) -> None:
    """Every service and job back to stable, the candidate's tags gone. ``condemned`` remembers it, so that no
    build tries the same commit again. What somebody moved by hand stays there, and is held.

    Raises ``ReleaseNotUnderWay`` when another release is by now, or when this one is stable.
    """
    failure = Failure(release, step.at, "; ".join(step.reasons)) if condemned else None

    def front(chat: Service) -> Change | None:
        check(chat)
        return _front(desk, chat, release, failure)

    # Chat first and by itself: whoever looks in between sees readers on stable.
    _insist(desk, lambda: desk.fleet.change(desk.fleet.chat, front, desk.change()))
    others = {name: _other(release) for name in desk.fleet.names if name != desk.fleet.chat}
    outcomes = desk.fleet.change_all(others, desk.change()) + _jobs(desk, release)
    note(desk, release, step, state=FAILED if condemned else LEFT)
    succeeded(outcomes, f"Taking release {release} back")


def condemn(desk: Desk, release: str, step: Step) -> str:
    """Take a candidate back and remember it; what could not follow chat's readers, in words.

    Errors: as :func:`take_back`, where chat's readers could not be moved.
    """
    try:
        take_back(desk, release, step, condemned=True)
    except ReleaseNotUnderWay:
        raise
    except ReleaseError as error:
        return f" Not all of it followed: {error.message}"
    return ""


def _front(desk: Desk, chat: Service, release: str, failure: Failure | None) -> Change | None:
    other = chat.annotations.get(CANARY, "")
    if other not in {"", release}:
        raise not_under_way(release, other)
    if not other and serving_release(chat) == release:
        raise ReleaseNotUnderWay(
            f"{release} is stable already.", hint="`lectern release finish` tidies up after it."
        )
    seen = standing({chat.name: chat}, chat.name)
    notes = {CANARY: "", LEASE: ""}
    if failure:
        notes[FAILURES] = remembered(seen.failures, failure)
    if not moved_by_hand(chat):
        return whole(chat, way_back(chat, release), notes)
    desk.say(f"The readers of {chat.name} stay where somebody moved them by hand.")
    if HOLD not in chat.annotations and seen.hold:
        notes[HOLD] = text_of(replace(seen.hold, at=round(desk.now(), 3)))
    return Change(annotations=notes)


def _other(release: str) -> Decide:
    return lambda one: None if moved_by_hand(one) else whole(one, way_back(one, release))


def way_back(service: Service, release: str) -> str:
    """The revision that a service was on before the candidate: what is tagged stable, which a switch leaves
    in place; where something else serves, that.
    """
    candidate = revision_of(service.name, release)
    tagged = next((target.revision for target in service.traffic if target.tag == STABLE_TAG), "")
    serving = stable_revision(service)
    if serving != candidate:
        return serving
    return tagged if tagged and tagged != candidate else serving


def _jobs(desk: Desk, release: str) -> list[Outcome]:
    """Jobs run what readers are on: a switch that failed, or was killed, may have left them the candidate."""
    try:
        stable = serving_release(desk.fleet.get(desk.fleet.chat, desk.call()))
        found = desk.manifests.find(stable, desk.call()) if stable not in {"", release} else None
    except LecternError as error:
        desk.say(f"Jobs were left as they are, since it is not known what they ran before: {error}")
        return []
    return deploy_jobs(desk.jobs, found.jobs, desk.change(), desk.sleep) if found else []


def _insist(desk: Desk, change: Callable[[], object]) -> None:
    ends = desk.now() + INSIST_SECONDS
    while True:
        try:
            change()
        except (DependencyError, DeadlineExceeded) as error:
            if not getattr(error, "retryable", True) or desk.now() >= ends:
                raise
            desk.say(f"Readers could not be taken back yet, trying again: {said(error)}")
            desk.sleep(_AGAIN_SECONDS)
        else:
            return


def note(desk: Desk, release: str, step: Step, **facts: object) -> None:
    """Write a step into the manifest, as far as that is possible: it is for people, and a bucket that is away
    stops neither a release nor a rollback.
    """
    try:
        desk.manifests.note(release, step, desk.call(), **facts)
    except LecternError as error:
        desk.say(f"The manifest of release {release} could not be written: {error}")
