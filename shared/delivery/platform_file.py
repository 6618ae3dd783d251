"""Reads ``config/<environment>.yaml`` for a release: the section ``platform`` and what stands beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.declarations import did_you_mean
from shared.delivery.platform import (
    ENVIRONMENTS,
    FUNCTIONS,
    JOBS,
    Environment,
    Function,
    Job,
    Platform,
    Schedule,
    SecretVersion,
    callers,
)
from shared.delivery.reading import read
from shared.errors import SettingsError

_SCHEDULE = re.compile(r"[a-z][a-z0-9_]*")
"""Cloud Scheduler takes more; a restore finds the schedules by names that begin with lectern-."""


def load_platform(name: str, folder: Path) -> Environment:
    """Read ``folder/name.yaml``. Raises :class:`SettingsError` with a line for each mistake."""
    content = _content(folder / f"{name}.yaml")
    problems: list[str] = []
    platform = read(Platform, content.pop("platform", None) or {}, f"{name}.yaml: platform", problems)
    secrets = {
        str(variable): SecretVersion(str(found.get("secret", "")), str(found.get("version", "")))
        for variable, found in (content.pop("secrets", None) or {}).items()
        if isinstance(found, Mapping)
    }
    if platform is not None:
        wrong = _between(platform, secrets) + _beside(platform, content)
        problems += [f"{name}.yaml: {line}" for line in wrong]
    if problems or platform is None:
        raise SettingsError(problems)
    return Environment(name, platform, secrets, content)


def _content(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError([f"{path} cannot be read: {error}"]) from error
    if not isinstance(content, dict) or "platform" not in content:
        raise SettingsError([f"{path} has no section platform; {' and '.join(ENVIRONMENTS)} have one"])
    return content


def _between(platform: Platform, secrets: Mapping[str, SecretVersion]) -> list[str]:
    """What is wrong among several values."""
    lines = _names("functions", platform.functions, FUNCTIONS, all_of_them=True)
    lines += _names("jobs", platform.jobs, JOBS, all_of_them=True)
    lines += _schedules(platform.schedules)
    lines += _references("functions", platform.functions, secrets)
    lines += _references("jobs", platform.jobs, secrets)
    lines += [
        f"secrets.{variable}.version is {found.version!r}; name it by its number, or a rollback is not exact"
        for variable, found in secrets.items()
        if not found.version.isdigit()
    ]
    for name, function in platform.functions.items():
        lines += [f"platform.functions.{name}{line}" for line in _within(name, function)]
    if platform.network.static_address and platform.network.egress == "none":
        lines.append("platform.network.static_address needs egress: direct")
    if platform.edge.enabled and not platform.edge.domains:
        lines.append("platform.edge.domains is empty; name the address that readers use")
    if platform.edge.second_region == platform.region:
        lines.append("platform.edge.second_region is the first one; name another, or leave it out")
    return lines


def _beside(platform: Platform, settings: Mapping[str, Any]) -> list[str]:
    """What is wrong between the section and the settings that Terraform reads, too."""
    wanted = ["storage_bucket", "backup_bucket"]
    if platform.buckets.backup.second_location:
        wanted.append("backup_copy_bucket")
    lines = [
        f"{name} must name a bucket (gs://…): Terraform makes it"
        for name in wanted
        if not str(settings.get(name, "")).startswith("gs://")
    ]
    if settings.get("backup_copy_bucket") and not platform.buckets.backup.second_location:
        lines.append("platform.buckets.backup.second_location is missing: where is backup_copy_bucket?")
    emails = settings.get("caller_emails") or []
    lines += [
        f"caller_emails must hold {email}, which calls the functions"
        for email in callers(platform.project)
        if email not in emails
    ]
    if not settings.get("caller_audience"):
        lines.append("caller_audience is missing: internal callers' tokens must name it")
    return lines


def _names(
    place: str, given: Mapping[str, Any], known: tuple[str, ...], *, all_of_them: bool = False
) -> list[str]:
    lines = [
        f"platform.{place}.{name} is not known{did_you_mean(name, known)}"
        for name in given
        if name not in known
    ]
    if all_of_them:
        lines += [f"platform.{place}.{name} is missing" for name in known if name not in given]
    return lines


def _schedules(schedules: Mapping[str, Schedule]) -> list[str]:
    lines = _names("schedules", {name: one for name, one in schedules.items() if not one.function}, FUNCTIONS)
    for name, one in schedules.items():
        if one.function and one.function not in FUNCTIONS:
            wrong = f"'{one.function}' is not known{did_you_mean(one.function, FUNCTIONS)}"
            lines.append(f"platform.schedules.{name}.function: {wrong}")
        if not _SCHEDULE.fullmatch(name):
            lines.append(f"platform.schedules.{name}: name it with small letters, digits and _")
    return lines


def _references(
    place: str, group: Mapping[str, Function] | Mapping[str, Job], secrets: Mapping[str, SecretVersion]
) -> list[str]:
    return [
        f"platform.{place}.{name}.secrets: {wanted} is not in the section secrets"
        f"{did_you_mean(wanted, sorted(secrets))}"
        for name, one in group.items()
        for wanted in one.secrets
        if wanted not in secrets
    ]


def _within(name: str, function: Function) -> list[str]:
    lines = []
    if function.min_instances > function.max_instances:
        lines.append(": min_instances is larger than max_instances")
    if function.public and name != "chat":
        lines.append(".public: readers call chat alone")
    if function.cpu < 1 and function.concurrency > 1:
        lines.append(": less than one processor serves one request at a time; set concurrency: 1")
    return lines
