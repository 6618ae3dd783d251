"""The configuration part of a recovery point: what the data alone does not bring back.

Objects of the part::

    settings.json     every setting in force, secrets as ``(set)``
    release.json      the release's manifest: revision, image, services; when there is one
    terraform.json    Terraform's outputs, those marked sensitive left out; when they were given
    secrets.json      names and versions of secrets, never their values
    values.json       values of secrets, only when they were asked for, and never without encryption
    golden.json       golden questions with their vectors and answers
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from shared.errors import Corrupt, SettingsError
from shared.ports import ObjectStore
from shared.recovery.crypto import PointCipher
from shared.recovery.golden import GoldenAnswer
from shared.recovery.point import SERVICE, ObjectEntry, PartName, PartRecord, object_name
from shared.recovery.streams import part_reader, part_writer
from shared.resilience.deadline import Deadline

PART: PartName = "config"
VALUES = "values"
FILES = ("settings", "secrets", "release", "terraform", VALUES)
"""Files of the part for people to read, without ``.json``."""
NO_KEY = "LECTERN_BACKUP_KEY_FILE is missing: values of secrets are only backed up encrypted"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is put into the part. ``secrets`` maps variables to the name and version of a secret;
    ``values`` maps variables to values, and is empty unless somebody asked for it.
    """

    settings: Mapping[str, Any]
    release: Mapping[str, Any] = field(default_factory=dict)
    terraform: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    golden: Sequence[GoldenAnswer] = ()


class ConfigurationFacts(msgspec.Struct, frozen=True):
    """The part's ``details``: what is in it."""

    golden_questions: int
    settings: int
    secret_values: bool


def write_configuration(
    store: ObjectStore,
    cipher: PointCipher | None,
    configuration: Configuration,
    deadline: Deadline,
    *,
    point: str,
    attempt: str,
    ledger_version: int,
) -> PartRecord:
    """Write the part's objects; the record of it, which the caller seals and commits.

    Raises :class:`~shared.errors.SettingsError` for secret values without a key; the store's errors.
    """
    if configuration.values and cipher is None:
        raise SettingsError([NO_KEY])
    started = datetime.now(UTC)
    entries: list[ObjectEntry] = []
    for name, value in _files(configuration):
        full = object_name(point, PART, attempt, f"{name}.json")
        with part_writer(store, full, cipher, deadline) as writer:
            writer.write(msgspec.json.encode(value))
        entries.append(writer.entry)
    facts = ConfigurationFacts(
        len(configuration.golden), len(configuration.settings), bool(configuration.values)
    )
    return PartRecord(
        part=PART,
        point=point,
        attempt=attempt,
        ledger_version=ledger_version,
        snapshot_at=started,
        finished_at=datetime.now(UTC),
        objects=tuple(entries),
        details=msgspec.to_builtins(facts),
    )


def _files(configuration: Configuration) -> Iterator[tuple[str, Any]]:
    yield "settings", configuration.settings
    yield "secrets", configuration.secrets
    yield "golden", list(configuration.golden)
    for name in ("release", "terraform", "values"):
        value = getattr(configuration, name)
        if value:
            yield name, value


def read_file(
    store: ObjectStore, record: PartRecord, name: str, cipher: PointCipher | None, deadline: Deadline
) -> bytes:
    """One file of the part, such as ``settings.json``; empty when it is not in it."""
    entry = next((one for one in record.objects if one.name.rpartition("/")[2] == name), None)
    return b"".join(part_reader(store, entry, cipher, deadline)) if entry else b""


def read_golden_answers(
    store: ObjectStore, record: PartRecord | None, cipher: PointCipher | None, deadline: Deadline
) -> list[GoldenAnswer]:
    """The golden questions in a point; empty without the part. Raises :class:`~shared.errors.Corrupt`."""
    data = read_file(store, record, "golden.json", cipher, deadline) if record else b""
    try:
        return msgspec.json.decode(data, type=list[GoldenAnswer]) if data else []
    except msgspec.DecodeError as error:
        detail = f"the golden questions of {record.point if record else ''} are not understood: {error}"
        raise Corrupt(SERVICE, "read", detail, hint="Use the release that cut the point.") from error
