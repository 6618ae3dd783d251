"""The section ``platform`` of the configuration files: what an operator sees when it is right or wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from shared import settings
from shared.cli.main import main
from shared.delivery.platform import (
    ENVIRONMENTS,
    FUNCTIONS,
    JOBS,
    Function,
    Job,
    Platform,
    Probe,
    Schedule,
    job_name,
    members,
    service_name,
)
from shared.delivery.platform_file import load_platform
from shared.errors import SettingsError

CONFIG = Path(__file__).resolve().parents[2] / "config"


def problems_of(folder: Path, name: str = "production") -> str:
    with pytest.raises(SettingsError) as caught:
        load_platform(name, folder)
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_each_environment_says_what_runs(name: str) -> None:
    """A release would find no memory, secret version or account for a function."""
    found = load_platform(name, CONFIG)
    assert set(found.platform.functions) == set(FUNCTIONS)
    assert set(found.platform.jobs) == set(JOBS)
    assert [one for one, function in found.platform.functions.items() if function.public] == ["chat"]
    chat = found.platform.functions["chat"]
    assert found.secrets_of(chat.secrets)["DATABASE_URL"].version == "1"
    assert found.settings["storage_bucket"] == f"gs://lectern-{name}-data"


@pytest.mark.parametrize("name", ["staging", "production"])
def test_backups_take_their_time_and_the_rpo_holds(name: str) -> None:
    """Health would be degraded every night until the next recovery point is whole, and alerts with it."""
    schedules = load_platform(name, CONFIG).platform.schedules
    loaded = settings.load({"LECTERN_ENV": name})
    (minute, hours, *days) = schedules["backup_neon"].cron.split()
    assert schedules["backup_qdrant"].cron == schedules["backup_neon"].cron
    assert (minute, days) == ("0", ["*", "*", "*"])
    starts = [int(hour) for hour in hours.split(",")]
    gaps = [(after - start) % 24 or 24 for start, after in zip(starts, [*starts[1:], starts[0]], strict=True)]
    assert max(gaps) + loaded.backup_seconds / 3600 < loaded.rpo_hours


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_backup_of_the_vectors_can_embed_the_golden_questions(name: str) -> None:
    """A drill would compare the search by words alone, and pass when nothing is found by meaning."""
    found = load_platform(name, CONFIG).platform
    for one in (found.functions["backup_qdrant"], found.jobs["backup_qdrant"]):
        assert "GEMINI_API_KEY" in one.secrets


def test_names_in_the_cloud_have_no_underscore() -> None:
    """Cloud Run would refuse the service."""
    assert service_name("backup_neon") == "lectern-backup-neon"
    assert job_name("backup_neon") == "lectern-backup-neon-job"


@pytest.mark.parametrize(
    ("edge", "more"),
    [
        ({}, {}),
        ({"second_region": "us-central1"}, {}),
        ({"enabled": True, "domains": ["docs.example.com"]}, {}),
        (
            {"enabled": True, "domains": ["docs.example.com"], "second_region": "us-central1"},
            {"lectern-chat@us-central1": ("chat", "us-central1")},
        ),
    ],
)
def test_a_release_knows_every_service_that_terraform_makes(
    tmp_path: Path, edge: dict[str, object], more: dict[str, tuple[str, str]]
) -> None:
    """A region's chat would stay on Google's sample, or a release would look for one that is not there."""
    content = yaml.safe_load((CONFIG / "production.yaml").read_text())
    content["platform"]["edge"] = edge
    (tmp_path / "production.yaml").write_text(yaml.safe_dump(content))
    found = members(load_platform("production", tmp_path).platform)
    assert next(iter(found)) == "lectern-chat"
    one_region = {service_name(name): (name, "europe-west1") for name in FUNCTIONS}
    assert {key: (one.function, one.region) for key, one in found.items()} == {**one_region, **more}


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """An operator would fix one mistake per attempt, each attempt a failed release."""
    content = yaml.safe_load((CONFIG / "production.yaml").read_text())
    platform = content["platform"]
    platform["functions"]["chat"] |= {
        "memroy": "1Gi",
        "cpu": 3,
        "memory": "1GB",
        "concurrency": True,
        "min_instances": 30,
    }
    platform["functions"]["health"] |= {"public": True, "secrets": ["DATABSE_URL"]}
    del platform["jobs"]["drill"]
    platform["schedules"]["ingest"]["cron"] = "daily"
    platform["canary"]["steps"] = [50, 10]
    platform["monitoring"]["emails"] = "me@example.com"
    del platform["schedules"]["drill"]["path"]
    platform["region"] = 1
    (tmp_path / "production.yaml").write_text(yaml.safe_dump(content))
    lines = problems_of(tmp_path)
    for expected in (
        "platform.functions.chat.memroy is not known; did you mean memory?",
        "platform.functions.chat.cpu: 3 is wrong; expected 1, 2, 4, 6, 8 or less than 1",
        "platform.functions.chat.memory: '1GB' is wrong; expected an amount such as 512Mi or 2Gi",
        "platform.functions.chat.concurrency: True is not a whole number",
        "platform.schedules.ingest.cron: 'daily' is wrong",
        "platform.canary.steps: [50, 10] is wrong; expected rising shares that end at 100",
        "platform.monitoring.emails: 'me@example.com' is not a list",
        "platform.schedules.drill.path is missing",
        "platform.region: 1 is not text",
    ):
        assert expected in lines


def test_what_does_not_fit_together_is_told(tmp_path: Path) -> None:
    """A release would fail halfway: a secret that nobody declared, a second function open to everybody."""
    content = yaml.safe_load((CONFIG / "production.yaml").read_text())
    platform = content["platform"]
    platform["functions"]["chat"] |= {"min_instances": 30, "cpu": 0.5}
    platform["functions"]["health"] |= {"public": True, "secrets": ["DATABSE_URL"]}
    platform["schedules"]["helth"] = {"cron": "0 1 * * *", "path": "/health"}
    platform["schedules"]["drill_full"]["function"] = "dril"
    platform["schedules"]["Hourly"] = {"cron": "0 * * * *", "path": "/health", "function": "health"}
    del platform["jobs"]["drill"]
    platform["network"] = {"static_address": True}
    platform["edge"] = {"enabled": True, "second_region": platform["region"]}
    content["secrets"]["GEMINI_API_KEY"]["version"] = "latest"
    platform["buckets"]["backup"]["second_location"] = "europe-west4"
    content |= {"backup_bucket": "", "caller_emails": [], "caller_audience": ""}
    (tmp_path / "production.yaml").write_text(yaml.safe_dump(content))
    lines = problems_of(tmp_path)
    for expected in (
        "platform.functions.chat: min_instances is larger than max_instances",
        "platform.functions.chat: less than one processor serves one request at a time",
        "platform.functions.health.public: readers call chat alone",
        "platform.functions.health.secrets: DATABSE_URL is not in the section secrets; did you mean",
        "platform.schedules.helth is not known; did you mean health?",
        "platform.schedules.drill_full.function: 'dril' is not known; did you mean drill?",
        "platform.schedules.Hourly: name it with small letters",
        "platform.jobs.drill is missing",
        "platform.network.static_address needs egress: direct",
        "platform.edge.domains is empty",
        "platform.edge.second_region is the first one",
        "secrets.GEMINI_API_KEY.version is 'latest'; name it by its number",
        "backup_bucket must name a bucket",
        "backup_copy_bucket must name a bucket",
        "caller_emails must hold lectern-schedules@lectern-production.iam.gserviceaccount.com",
        "caller_audience is missing",
    ):
        assert expected in lines


@pytest.mark.parametrize("text", ["", "log_level: INFO", "platform: 3", "platform: [", "- a"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    """A release would end in a stack trace without a file name."""
    (tmp_path / "production.yaml").write_text(text)
    assert "production.yaml" in problems_of(tmp_path)
    assert "staging.yaml" in problems_of(tmp_path, "staging")


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_settings_of_an_environment_start_every_function(name: str) -> None:
    """The first release would end at settings that no file and no secret gives."""
    found = load_platform(name, CONFIG)
    secrets = {variable: f"postgresql://{variable.lower()}:p@db.example/d" for variable in found.secrets}
    loaded = settings.load(
        {"LECTERN_ENV": name, **secrets}, require=("database_url", "qdrant_url", "storage_bucket")
    )
    assert loaded.project == found.platform.project
    assert loaded.backup_kms_key.startswith(f"projects/{loaded.project}/locations/{found.platform.region}/")
    assert loaded.caller_audience


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_needs_no_other_one(name: str) -> None:
    """The first apply would end at accounts of a project in which nothing was made yet."""
    assert load_platform(name, CONFIG).platform.cicd.promotes_to == ""


def test_the_section_is_shown_with_its_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator could not see what an apply or a release would use."""
    monkeypatch.setenv("LECTERN_ENV", "production")
    done = CliRunner().invoke(main, ["config", "--platform", "--json"])
    assert done.exit_code == 0, done.output
    shown = json.loads(done.output)
    assert shown["functions"]["chat"]["startup"]["path"] == "/live"
    assert shown["canary"]["steps"] == [10, 50, 100]
    monkeypatch.setenv("LECTERN_ENV", "development")
    done = CliRunner().invoke(main, ["config", "--platform"])
    assert done.exit_code == 2
    assert "has no section platform" in done.output


def test_a_pinned_version_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release by hand would be started with another version than the revisions get."""
    monkeypatch.setenv("LECTERN_ENV", "production")
    done = CliRunner().invoke(main, ["config", "--secret", "DATABASE_URL"])
    assert (done.exit_code, done.stdout) == (0, "lectern-database-url/versions/1\n")
    done = CliRunner().invoke(main, ["config", "--secret", "DATABASE"])
    assert done.exit_code == 2
    assert "production.yaml pins DATABASE_URL, QDRANT_API_KEY" in done.output


def test_the_handbook_names_every_part_of_the_section() -> None:
    """An operator would not find an option, or would read another default."""
    page = (CONFIG.parent / "docs" / "reference" / "platform.md").read_text()
    missing = [name for name, default in described(Platform, "") if f"| `{name}` | {default} |" not in page]
    assert missing == []


def described(kind: type, prefix: str) -> Iterator[tuple[str, str]]:
    """Each name of a section, and its default as the handbook writes it."""
    places = {"functions": (Function, "*."), "jobs": (Job, "*."), "schedules": (Schedule, "*.")}
    for item in fields(kind):
        name = f"{prefix}{item.name}"
        if item.name in places and not prefix:
            inner, star = places[item.name]
            yield from described(inner, f"{name}.{star}")
        elif is_dataclass(item.default) and not isinstance(item.default, Probe):
            yield from described(type(item.default), f"{name}.")
        else:
            yield name, written(item.default)


def written(default: object) -> str:
    if isinstance(default, Probe):
        return f"`{default.path}` every {default.period_seconds} s"
    words = {"": "empty", (): "none", MISSING: "required"}
    if default in words:
        return words[default]
    text = str(list(default) if isinstance(default, tuple) else default)
    return f"`{text.lower() if isinstance(default, bool) else text}`"
