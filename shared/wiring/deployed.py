"""What runs here, for the configuration part of a recovery point: read from the bucket, where releases and
operators leave it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.delivery.release import FOLDER, commit_of
from shared.errors import DependencyError, SettingsError
from shared.resilience.deadline import Deadline
from shared.wiring.parts import Parts

OUTPUTS = "terraform/outputs.json"
"""`terraform output -json`, which whoever applies puts into the data bucket."""
_READ_SECONDS = 20.0

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Deployed:
    """``release`` is the manifest of the release that this code is of, ``terraform`` holds outputs by name;
    each empty where there is none. ``commit`` is the release's: whole when the manifest is there, else the
    digits in the release's id.
    """

    commit: str = ""
    release: Mapping[str, Any] = field(default_factory=dict)
    terraform: Mapping[str, Any] = field(default_factory=dict)


def deployed(parts: Parts, deadline: Deadline, say: Say, *, terraform: bool = True) -> Deployed:
    """What the bucket holds, with or without the outputs of ``terraform``. What cannot be read is told to
    ``say``: no backup is given up for it.
    """
    own = parts.settings
    if not own.storage_bucket:
        return Deployed(commit=commit_of(own.release))
    release: dict[str, Any] = {}
    if own.release:
        name = f"{FOLDER}{own.release}.json"
        release = _read(parts, name, "the release's manifest", _manifest, deadline=deadline, say=say)
    outputs: dict[str, Any] = {}
    if terraform and own.project:  # nothing else is made by Terraform
        outputs = _read(parts, OUTPUTS, "Terraform's outputs", _shown, deadline=deadline, say=say)
    return Deployed(release.get("commit") or commit_of(own.release), release, outputs)


def outputs_in(path: Path) -> dict[str, Any]:
    """The outputs in a file of `terraform output -json`, those left out that Terraform calls sensitive.

    Raises :class:`~shared.errors.SettingsError` for another file.
    """
    try:
        return _shown(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingsError([f"{path} is no output of `terraform output -json`: {error}"]) from error


def _shown(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one["value"] for name, one in outputs.items() if not one.get("sensitive")}


def _manifest(found: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, "commit": str(found["commit"])}


def _read(
    parts: Parts,
    name: str,
    what: str,
    understood: Callable[[Any], dict[str, Any]],
    *,
    deadline: Deadline,
    say: Say,
) -> dict[str, Any]:
    try:
        return understood(json.loads(parts.object_store.get(name, deadline.within(_READ_SECONDS))[0]))
    except DependencyError as error:
        say(f"{what} is left out: {error}")
    except (ValueError, TypeError, KeyError, AttributeError):
        say(f"{what} is left out: {name} holds something else")
    return {}
