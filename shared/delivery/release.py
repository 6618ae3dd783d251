"""A release: one image on every function, its names on Cloud Run, and its manifest in the bucket."""

from __future__ import annotations

import re

import msgspec

from shared.errors import Corrupt, Missing, ReleaseError
from shared.ports import ObjectStore, Template
from shared.ports.services import located
from shared.resilience.deadline import Deadline

FOLDER = "releases/"
STABLE_TAG = "stable"
CANDIDATE, RELEASED, FAILED, LEFT, ROLLED_BACK = "candidate", "released", "failed", "left", "rolled back"
_SHORT = 7
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")


class Step(msgspec.Struct, frozen=True):
    """Something that happened to a release. ``at`` is in Unix seconds; ``share`` in percent of chat's
    readers.
    """

    at: float
    what: str
    share: int = 0
    verdict: str = ""
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest ``releases/<id>.json``: what a person and a rollback need to know of a release.

    What is *in force* stands on the services themselves: traffic, tags and annotations. ``schema`` is the
    last migration that the code knows; ``contracts`` the newest schema that its migrations take things away
    from (empty: none), so that code older than it cannot run beside. ``fingerprint`` is that of the index
    that the code reads best, ``generation`` the one that was live when it was released. ``previous`` was
    stable before, and ``before`` holds the revision that each service was on then. ``jobs`` holds what the
    jobs run. Services are named by their keys (:func:`shared.ports.services.located`).
    """

    id: str
    commit: str
    image: str
    environment: str
    created_at: float
    state: str = CANDIDATE
    previous: str = ""
    schema: str = ""
    contracts: str = ""
    fingerprint: str = ""
    generation: str = ""
    revisions: dict[str, str] = msgspec.field(default_factory=dict)
    before: dict[str, str] = msgspec.field(default_factory=dict)
    jobs: dict[str, Template] = msgspec.field(default_factory=dict)
    steps: tuple[Step, ...] = ()


def release_id(commit: str, attempt: int = 1) -> str:
    """``abc1234``, and ``abc1234-2`` for the second attempt at releasing the same commit."""
    if not _COMMIT.fullmatch(commit):
        raise ReleaseError(
            f"{commit!r} is no commit: it must have 7 to 40 hex digits.", hint="Give `git rev-parse HEAD`."
        )
    return commit[:_SHORT] + (f"-{attempt}" if attempt > 1 else "")


def commit_of(release: str) -> str:
    """The seven digits of the commit that a release id begins with."""
    return release.partition("-")[0]


def check_image(image: str) -> None:
    """Raise unless the image is named by its digest: a tag may mean something else tomorrow."""
    if not _DIGEST.fullmatch(image):
        raise ReleaseError(
            f"{image!r} does not name an image by its digest.",
            hint="Give it as REPOSITORY/IMAGE@sha256:DIGEST, as `pack build` or `docker push` print it.",
        )


def tag_of(release: str) -> str:
    """The tag under which a candidate can be asked before readers are."""
    return f"c-{release}"


def revision_of(service: str, release: str) -> str:
    """``lectern-chat-abc1234``, in each region where the service runs."""
    return f"{located(service)[0]}-{release}"


def release_of(service: str, revision: str) -> str:
    """The release that a revision belongs to; a revision that no release made has none."""
    rest = revision.removeprefix(f"{located(service)[0]}-")
    known = _COMMIT.fullmatch(commit_of(rest)) and rest != revision
    return rest if known else ""


class Manifests:
    """The manifests in the bucket. Errors are those of the object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def get(self, release: str, deadline: Deadline) -> Release:
        """One manifest. Raises ``Missing``, or ``Corrupt`` for one that cannot be read."""
        return self._read(f"{FOLDER}{release}.json", deadline)[0]

    def find(self, release: str, deadline: Deadline) -> Release | None:
        """One manifest; None when there is none."""
        try:
            return self.get(release, deadline)
        except Missing:
            return None

    def save(self, release: Release, deadline: Deadline) -> None:
        """Write a manifest in place of what was there."""
        body = msgspec.json.format(msgspec.json.encode(release), indent=2)
        self._store.put(f"{FOLDER}{release.id}.json", body, deadline)

    def note(self, release: str, step: Step, deadline: Deadline, **facts: object) -> Release | None:
        """Add a step, and change ``facts``; None when there is no manifest. What a person rolled back stays
        so, whatever automation notes of it afterwards.
        """
        found = self.find(release, deadline)
        if found is None:
            return None
        if found.state == ROLLED_BACK:
            facts.pop("state", None)
        changed = msgspec.structs.replace(found, steps=(*found.steps, step), **facts)
        self.save(changed, deadline)
        return changed

    def all(self, deadline: Deadline, most: int = 20) -> list[Release]:
        """The newest manifests, newest first."""
        names = sorted(self._store.list(FOLDER, deadline), key=lambda info: info.updated, reverse=True)
        found = [self._read(info.name, deadline)[0] for info in names[:most] if info.name.endswith(".json")]
        return sorted(found, key=lambda one: one.created_at, reverse=True)

    def _read(self, name: str, deadline: Deadline) -> tuple[Release, int]:
        body, info = self._store.get(name, deadline)
        try:
            return msgspec.json.decode(body, type=Release), info.generation
        except msgspec.MsgspecError as error:
            raise Corrupt(
                "gcs", "read a release", f"{name}: {error}", hint="Restore it from a version."
            ) from error
