"""Where a release stands, read from the services themselves: traffic, tags and annotations. Pure.

Nothing else holds state: whoever runs `lectern release` next, a build or a person, reads the same and goes
on. Each change of traffic by a release is written down in the same call, in the annotation
``lectern/traffic``. Traffic that differs from it was moved by somebody else, with gcloud or in the console:
that is a rollback by hand, and it is respected like one made by ``lectern rollback``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from shared.delivery.release import STABLE_TAG, release_of, revision_of, tag_of
from shared.ports import Change, Service, Target
from shared.ports.services import NEWEST

WHOLE = 100
TRAFFIC = "lectern/traffic"
CANARY = "lectern/canary"
HOLD = "lectern/hold"
FAILED = "lectern/failed"
LEASE = "lectern/lease"
CONTRACTS = "lectern/contracts"
"""Annotations of chat's service: see :class:`Standing`; ``contracts`` is what the database's migrations took
away.
"""
T = TypeVar("T")
_REMEMBERED = 10
_CANDIDATE_TAG = "c-"


class Hold(msgspec.Struct, frozen=True):
    """A rollback by hand. No release by automation moves readers until a person releases again. ``release``
    is what was taken back ("" when unknown).
    """

    release: str
    at: float
    why: str = ""


class Failure(msgspec.Struct, frozen=True):
    """A candidate that was condemned."""

    release: str
    at: float
    why: str = ""


class Lease(msgspec.Struct, frozen=True):
    """Who tends the canary, until when (Unix seconds) without a sign of life."""

    holder: str
    until: float


@dataclass(frozen=True, slots=True)
class Standing:
    """``serving``: shares of chat's readers by release ("" for a revision that no release made).
    ``candidate`` is the release whose canary is under way, ``stable`` the one readers are on otherwise.
    """

    services: Mapping[str, Service]
    chat: str
    serving: Mapping[str, int]
    stable: str
    candidate: str
    hold: Hold | None
    failures: tuple[Failure, ...]
    lease: Lease | None
    by_hand: tuple[str, ...]
    contracts: str = ""

    @property
    def share(self) -> int:
        """The candidate's share of chat's readers in percent."""
        return self.serving.get(self.candidate, 0) if self.candidate else 0

    def differing(self) -> dict[str, str]:
        """Services that do not serve what chat's stable is, with the release that they serve."""
        found = {
            name: serving_release(service) for name, service in self.services.items() if name != self.chat
        }
        return {name: release for name, release in found.items() if release != self.stable}

    def failure(self, commit: str) -> Failure | None:
        """Whether a release of this commit was condemned before."""
        return next((one for one in self.failures if one.release.startswith(commit[:7])), None)

    def tended(self, now: float) -> bool:
        """Whether somebody tends the canary."""
        return bool(self.candidate and self.lease and self.lease.until > now)


def tending(chat: Service, now: float) -> str:
    """The release that somebody tends just now, from before its revision is up; empty when nobody does."""
    lease = _read(chat, LEASE, Lease)
    alive = lease is not None and lease.until > now and lease.holder == chat.annotations.get(CANARY)
    return lease.holder if lease and alive else ""


def standing(services: Mapping[str, Service], chat: str) -> Standing:
    """Read where things stand."""
    front = services[chat]
    candidate = front.annotations.get(CANARY, "")
    serving: dict[str, int] = {}
    for revision, percent in shares(front).items():
        release = release_of(chat, revision)
        serving[release] = serving.get(release, 0) + percent
    by_hand = tuple(name for name, service in services.items() if moved_by_hand(service))
    if candidate and revision_of(chat, candidate) not in {target.revision for target in front.traffic}:
        candidate = ""
    hold = _read(front, HOLD, Hold)
    if hold is None and by_hand:
        hold = Hold("", 0.0, f"the traffic of {', '.join(by_hand)} was changed by hand")
    return Standing(
        services,
        chat,
        serving,
        release_of(chat, stable_revision(front)),
        candidate,
        hold,
        _read(front, FAILED, tuple[Failure, ...]) or (),
        _read(front, LEASE, Lease),
        by_hand,
        front.annotations.get(CONTRACTS, ""),
    )


def _read(service: Service, key: str, kind: type[T]) -> T | None:
    text = service.annotations.get(key, "")
    try:
        return msgspec.json.decode(text, type=kind) if text else None
    except msgspec.MsgspecError:
        return None


# ------------------------------------------------------------ traffic


def shares(service: Service) -> dict[str, int]:
    """Percent by revision, for those that get any; the newest one by its name."""
    found: dict[str, int] = {}
    for target in service.traffic:
        if target.percent:
            name = target.revision or service.newest_ready
            found[name] = found.get(name, 0) + target.percent
    return found


def written(found: Mapping[str, int]) -> str:
    """Shares as the annotation holds them."""
    return ",".join(f"{revision}={percent}" for revision, percent in sorted(found.items()) if percent)


def moved_by_hand(service: Service) -> bool:
    """Whether somebody else than a release moved the traffic last."""
    known = service.annotations.get(TRAFFIC, "")
    return bool(known) and known != written(shares(service))


def stable_revision(service: Service) -> str:
    """What readers are on but for a canary: the tagged one while a canary is under way, else the one with the
    largest share.
    """
    candidate = service.annotations.get(CANARY, "")
    if candidate and not moved_by_hand(service):
        tagged = [
            target.revision for target in service.traffic if target.tag == STABLE_TAG and target.revision
        ]
        if tagged:
            return tagged[0]
    found = shares(service)
    return max(found, key=lambda name: found[name], default=service.newest_ready)


def serving_release(service: Service) -> str:
    """The release with the largest share."""
    found = shares(service)
    return release_of(service.name, max(found, key=lambda name: found[name], default=""))


def url_of(service: Service, tag: str) -> str:
    """The address of a tagged revision; empty when there is no such tag."""
    return next((target.url for target in service.traffic if target.tag == tag), "")


# ------------------------------------------------------------ changes


def split(service: Service, stable: str, candidate: str, release: str, percent: int) -> Change:
    """Give a candidate its share, the rest to stable; both can be asked at their tags."""
    targets = (
        Target(stable, WHOLE - percent, STABLE_TAG),
        Target(candidate, percent, tag_of(release)),
    )
    return _moved(targets, service, {})


def whole(service: Service, revision: str, notes: Mapping[str, str] | None = None) -> Change | None:
    """All readers to one revision, which becomes stable; candidates' tags go. None when that is so
    already.
    """
    change = _moved((Target(revision, WHOLE, STABLE_TAG),), service, notes or {})
    wanted = {(t.revision, t.percent, t.tag) for t in change.traffic or ()}
    there = wanted == {(t.revision, t.percent, t.tag) for t in service.traffic} and service.settled
    noted = all(service.annotations.get(key, "") == text for key, text in (change.annotations or {}).items())
    return None if there and noted else change


def accepted(service: Service, notes: Mapping[str, str]) -> Change:
    """Leave the traffic as it is, and take it for ours: a person asks, who may have moved it."""
    return Change(annotations={TRAFFIC: written(shares(service)), **notes})


def pinned(service: Service) -> str:
    """The revision to hold readers on while a new one comes up: never ``NEWEST``, which would move them."""
    revision = stable_revision(service)
    return revision if revision != NEWEST else service.newest_ready


def _moved(targets: Sequence[Target], service: Service, notes: Mapping[str, str]) -> Change:
    kept = tuple(_kept(service, targets))
    found: dict[str, int] = {}
    for target in targets:
        found[target.revision] = found.get(target.revision, 0) + target.percent
    return Change(traffic=(*targets, *kept), annotations={TRAFFIC: written(found), **notes})


def _kept(service: Service, targets: Iterable[Target]) -> Iterable[Target]:
    """Tags that somebody else gave: not ours to take."""
    named = {target.tag for target in targets}
    for target in service.traffic:
        ours = target.tag == STABLE_TAG or target.tag.startswith(_CANDIDATE_TAG)
        if target.tag and not ours and target.tag not in named:
            yield Target(target.revision, 0, target.tag)


def remembered(failures: Sequence[Failure], failure: Failure) -> str:
    """The annotation with one more failure; the oldest ones go."""
    others = [one for one in failures if one.release != failure.release]
    return msgspec.json.encode([*others, failure][-_REMEMBERED:]).decode()


def forgotten(failures: Sequence[Failure], release: str) -> str:
    """The annotation without the failures of this release's commit: a person tries it again."""
    left = [one for one in failures if one.release[:7] != release[:7]]
    return msgspec.json.encode(left).decode() if left else ""


def text_of(value: msgspec.Struct) -> str:
    """The annotation of a hold or a lease."""
    return msgspec.json.encode(value).decode()
