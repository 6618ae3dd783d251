"""The state of the fake bucket and its rules: generations, preconditions, checksums, versions, holds.

After https://cloud.google.com/storage/docs/json_api/v1 (objects, buckets, status codes).
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import google_crc32c

Json = dict[str, Any]


class ApiError(Exception):
    """An error answer: its HTTP status, ``reason`` and message, in the shape of Google's JSON APIs."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = {}
        self.body = {
            "error": {
                "code": status,
                "message": message,
                "errors": [{"message": message, "domain": "global", "reason": reason}],
            }
        }


def crc32c(data: bytes) -> str:
    return base64.b64encode(int(google_crc32c.value(data)).to_bytes(4, "big")).decode()


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass
class Version:
    """One version of an object."""

    name: str
    data: bytes
    generation: int
    created: float
    crc32c: str
    md5: str
    fields: Json = field(default_factory=dict)
    metageneration: int = 1
    deleted: float | None = None
    retain_until: float = 0.0

    @property
    def held(self) -> str:
        kinds = {"temporaryHold": "Temporary", "eventBasedHold": "Event-Based"}
        return next((kinds[key] for key in kinds if self.fields.get(key)), "")

    def resource(self, bucket: str) -> Json:
        """The object resource of the JSON API."""
        answer = {
            "kind": "storage#object",
            "id": f"{bucket}/{self.name}/{self.generation}",
            "bucket": bucket,
            "name": self.name,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "size": str(len(self.data)),
            "crc32c": self.crc32c,
            "md5Hash": self.md5,
            "etag": base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode(),
            "storageClass": "STANDARD",
            "timeCreated": rfc3339(self.created),
            "updated": rfc3339(self.created),
            "contentType": "application/octet-stream",
            **self.fields,
        }
        if self.deleted is not None:
            answer["timeDeleted"] = rfc3339(self.deleted)
        return answer


KEPT_FIELDS = ("metadata", "contentType", "temporaryHold", "eventBasedHold", "cacheControl")


class Bucket:
    """Objects by name, each a list of versions, the live one last. Every method is atomic."""

    def __init__(self, name: str, *, versioning: bool, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.versioning = versioning
        self.retention_seconds = 0.0
        self.clock = clock
        self._lock = threading.RLock()
        self._objects: dict[str, list[Version]] = {}
        self._last_generation = 0

    def live(self, name: str) -> Version | None:
        with self._lock:
            versions = self._objects.get(name, [])
            return versions[-1] if versions and versions[-1].deleted is None else None

    def find(self, name: str, query: Mapping[str, str]) -> Version:
        """The version asked for, preconditions checked; 404, 412 or 304."""
        with self._lock:
            wanted = query.get("generation")
            versions = self._objects.get(name, [])
            found = (
                self.live(name)
                if wanted is None
                else next((version for version in versions if str(version.generation) == wanted), None)
            )
            if found is None:
                raise ApiError(404, "notFound", f"No such object: {self.name}/{name}")
            check_preconditions(found, query, reading=True)
            return found

    def check_write(self, name: str, query: Mapping[str, str]) -> None:
        """412 when a precondition of a write does not hold now, 403 when the live one must stay."""
        with self._lock:
            live = self.live(name)
            check_preconditions(live, query, reading=False)
            if live is not None:
                self._check_removable(live)

    def insert(
        self, name: str, data: bytes, query: Mapping[str, str], resource: Json, hashes: Json
    ) -> Version:
        """A new live version. ``hashes`` are the checksums that the caller claims."""
        claimed = {"crc32c": resource.get("crc32c"), "md5": resource.get("md5Hash")}
        claimed.update(hashes)
        found = {"crc32c": crc32c(data), "md5": md5(data)}
        for kind, value in claimed.items():
            if value and value != found[kind]:
                label = kind.upper()
                text = f'Provided {label} "{value}" doesn\'t match calculated {label} "{found[kind]}".'
                raise ApiError(400, "invalid", text)
        with self._lock:
            self.check_write(name, query)
            now = self.clock()
            self._last_generation = max(self._last_generation + 1, int(now * 1_000_000))
            kept = {key: resource[key] for key in KEPT_FIELDS if resource.get(key) is not None}
            version = Version(name, data, self._last_generation, now, found["crc32c"], found["md5"], kept)
            version.retain_until = now + self.retention_seconds if self.retention_seconds else 0.0
            self._retire(name)
            self._objects.setdefault(name, []).append(version)
            return version

    def delete(self, name: str, query: Mapping[str, str]) -> None:
        with self._lock:
            version = self.find(name, {key: value for key, value in query.items() if key == "generation"})
            check_preconditions(version, query, reading=False)
            self._check_removable(version)
            if "generation" in query:
                self._objects[name].remove(version)
            else:
                self._retire(name)

    def patch(self, name: str, query: Mapping[str, str], resource: Json) -> Version:
        with self._lock:
            version = self.find(name, query)
            version.fields.update({key: resource[key] for key in KEPT_FIELDS if key in resource})
            version.metageneration += 1
            return version

    def listing(self, prefix: str, *, versions: bool) -> list[Version]:
        """By name in the order of UTF-8, then by generation."""
        with self._lock:
            found = [version for every in self._objects.values() for version in every]
        chosen = [v for v in found if v.name.startswith(prefix) and (versions or v.deleted is None)]
        return sorted(chosen, key=lambda version: (version.name.encode(), version.generation))

    def _retire(self, name: str) -> None:
        live = self.live(name)
        if live is not None and self.versioning:
            live.deleted = self.clock()
        elif live is not None:
            self._objects[name].remove(live)

    def _check_removable(self, version: Version) -> None:
        what = f"Object '{self.name}/{version.name}' is"
        if version.held:
            how = "and cannot be deleted, overwritten or archived until hold is removed."
            raise ApiError(403, "forbidden", f"{what} under active {version.held} hold {how}")
        if version.retain_until > self.clock():
            how = f"and cannot be deleted or overwritten until {rfc3339(version.retain_until)}"
            why = "subject to bucket's retention policy or object retention"
            raise ApiError(403, "retentionPolicyNotMet", f"{what} {why} {how}")


def check_preconditions(version: Version | None, query: Mapping[str, str], *, reading: bool) -> None:
    """Preconditions on generation and metageneration; those of an absent object are 0."""
    found = {
        "Generation": version.generation if version else 0,
        "Metageneration": version.metageneration if version else 0,
    }
    for what, value in found.items():
        wanted, unwanted = query.get(f"if{what}Match"), query.get(f"if{what}NotMatch")
        if wanted is not None and int(wanted) != value:
            raise ApiError(
                412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold."
            )
        if unwanted is not None and int(unwanted) == value:
            raise ApiError(304 if reading else 412, "conditionNotMet", "The condition did not hold.")
