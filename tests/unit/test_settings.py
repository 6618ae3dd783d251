"""Settings: what an operator sees when they are right, missing or wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared import settings
from shared.errors import SettingsError


def problems_of(environ: dict[str, str], **kwargs: object) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        settings.load(environ, **kwargs)
    return caught.value.problems


@pytest.mark.parametrize(
    ("environment", "level", "limit"),
    [("development", "DEBUG", 1000), ("staging", "INFO", 100), ("production", "WARNING", 60)],
)
def test_each_environment_has_the_documented_values(environment: str, level: str, limit: int) -> None:
    """Production would run with development's limits and log level."""
    loaded = settings.load({"LECTERN_ENV": environment})
    assert (loaded.log_level, loaded.rate_limit_requests) == (level, limit)


def test_every_mistake_is_reported_at_once_by_name() -> None:
    """An operator would fix one mistake per attempt instead of all in one."""
    lines = "\n".join(
        problems_of(
            {
                "LECTERN_ENV": "prod",
                "QDRANT_URL": "ftp://x",
                "LECTERN_DATABASE_POOL_SIZE": "many",
                "LECTERN_QUESTION_MAX_CHARACTERS": "1",
                "LECTERN_LOGLEVEL": "INFO",
            },
            require=("database_url", "storage_bucket"),
        )
    )
    for expected in (
        "LECTERN_ENV: 'prod' is wrong; expected one of development, staging, production",
        "QDRANT_URL: 'ftp://x' is wrong; expected an address",
        "LECTERN_DATABASE_POOL_SIZE: 'many' is not a whole number",
        "LECTERN_QUESTION_MAX_CHARACTERS: '1' is wrong; expected a number from 10 to 20000",
        "LECTERN_LOGLEVEL is not a setting; did you mean LECTERN_LOG_LEVEL?",
        "DATABASE_URL is missing",
        "STORAGE_BUCKET is missing",
    ):
        assert expected in lines


def test_a_secret_is_neither_shown_nor_taken_from_a_file(tmp_path: Path) -> None:
    """A password would end in a log or in the repository."""
    (tmp_path / "development.yaml").write_text("database_url: postgresql://u:hunter2@h/d\n")
    lines = problems_of({"GEMINI_API_KEY": "k"}, folder=tmp_path)
    assert lines == (
        "development.yaml: database_url is a secret: set DATABASE_URL in the environment instead",
    )
    wrong = problems_of({"DATABASE_URL": "mysql://u:hunter2@h/d"})
    assert "hunter2" not in "".join(wrong)
    assert "hunter2" not in repr(settings.load({"DATABASE_URL": "postgresql://u:hunter2@h/d"}))


@pytest.mark.parametrize("text", ["- a\n- b\n", "log_level: [", "\x00", "debug: {a: 1}", "home: [x]"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    """A typo in a config file would surface as a stack trace without a file name."""
    (tmp_path / "development.yaml").write_text(text)
    assert "development.yaml" in problems_of({}, folder=tmp_path)[0]


def test_the_environment_wins_over_the_file_and_the_command_line_over_both() -> None:
    """An operator's override would be ignored."""
    assert settings.load({"LECTERN_LOG_LEVEL": "ERROR"}).log_level == "ERROR"
    assert settings.load({"LECTERN_LOG_LEVEL": "ERROR"}, log_level="INFO").log_level == "INFO"


def test_lists_come_with_commas_or_as_yaml(tmp_path: Path) -> None:
    """Two allowed sites would be read as one that never matches."""
    both = ("https://a.example", "https://b.example")
    assert settings.load({"LECTERN_ALLOWED_ORIGINS": " ,".join(both)}).allowed_origins == both
    (tmp_path / "development.yaml").write_text(f"allowed_origins: [{', '.join(both)}]\n")
    assert settings.load({}, folder=tmp_path).allowed_origins == both
    assert "without a path" in problems_of({"LECTERN_ALLOWED_ORIGINS": "https://a.example/docs"})[0]


def test_every_setting_explains_itself() -> None:
    """The configuration reference would have empty rows or two settings under one name."""
    items = settings.declarations()
    assert all(item.help.endswith(".") and item.section for item in items)
    for names in ([item.env for item in items], [item.key for item in items if item.key]):
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("secrets: {DATABASE_URL: postgresql://u:hunter2@h/d}", "must name a secret and its version"),
        ("secrets: {DATABASE_URL: {value: hunter2}}", "must name a secret and its version"),
        ("secrets: {DATABSE_URL: {secret: a, version: 1}}", "did you mean DATABASE_URL?"),
        ("secrets: {LECTERN_HOME: {secret: a, version: 1}}", "is not a secret setting"),
    ],
)
def test_a_secret_is_written_as_a_reference(tmp_path: Path, text: str, expected: str) -> None:
    """A password would be committed with the configuration, or never reach the function."""
    (tmp_path / "development.yaml").write_text(text)
    lines = "".join(problems_of({}, folder=tmp_path))
    assert expected in lines
    assert "hunter2" not in lines


def test_a_child_process_reads_the_same_settings() -> None:
    """A job of `lectern run --docs` would ingest another site, into another database."""
    given = {"GEMINI_API_KEY": "k", "LECTERN_ALLOWED_ORIGINS": "https://a.example,https://b.example"}
    own = settings.load(given, home="/tmp/x", debug=False, removal_limit=0.5, site_folder="/docs a")
    assert settings.load(settings.environment(own)) == own
    assert settings.environment(settings.load({}, home="here"))["LECTERN_HOME"] == str(
        Path("here").absolute()
    )


def test_where_jobs_run_is_said_once_in_the_platform_section() -> None:
    """A function would start jobs in another project than the one that Terraform made them in."""
    own = settings.load({"LECTERN_ENV": "production"})
    assert (own.project, own.region) == ("lectern-production", "europe-west1")
    assert settings.load({}).project == ""
