"""Every setting of Lectern: declared once, read once, all mistakes reported together.

A value comes from the first of: the environment variable, ``config/<environment>.yaml``, the
default below. Secrets (marked so) come from the environment alone: on Google Cloud as references
to Secret Manager versions. This module is the only one that reads the environment, and the
handbook's configuration reference is generated from these declarations.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from shared.declarations import Declaration, between, did_you_mean, origins, parse, read_file, setting, url
from shared.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent
CONFIG_FOLDER = ROOT / "config"
PLATFORM_SECTIONS = ("platform",)
"""Sections of the config files that Terraform and releases read; the code takes single settings from them."""
SECRETS = "secrets."
"""Section that says which version of which secret a release puts into a variable; checked, not read."""

_SITE = "Site"
_INGESTION = "Ingestion"
_SERVICES = "Services"
_MODELS = "Language models"
_CHAT = "Chat"
_ACCESS = "Access"
_CALLERS = "Internal callers"
_GENERAL = "General"
_RECOVERY = "Recovery points"
_ALERTS = "Alerts"
_KEEPING = "Keeping and rehearsing recovery points"
_SHORTEST_KEY = 24
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked. See :func:`load`."""

    environment: str = setting(
        "development",
        "Which file of `config/` is read.",
        section=_GENERAL,
        env="LECTERN_ENV",
        choices=("development", "staging", "production"),
    )
    debug: bool = setting(False, "Adds details for developers to logs, never to answers.", section=_GENERAL)
    log_level: str = setting("INFO", "Least severity that is logged.", section=_GENERAL, choices=_LOG_LEVELS)
    home: str = setting(
        ".lectern", "Folder of the embedded stack's data.", section=_GENERAL, env="LECTERN_HOME"
    )
    monitoring_enabled: bool = setting(True, "Whether `/metrics` is served.", section=_GENERAL)

    database_url: str = setting(
        "",
        "Postgres (Neon) address: `postgresql://user:password@host/database?sslmode=require`.",
        section=_SERVICES,
        env="DATABASE_URL",
        secret=True,
        check=url("postgres", "postgresql"),
    )
    database_pool_size: int = setting(
        4, "Most connections that one instance opens.", section=_SERVICES, check=between(1, 100)
    )
    qdrant_url: str = setting(
        "", "Qdrant's REST address.", section=_SERVICES, env="QDRANT_URL", check=url("http", "https")
    )
    qdrant_api_key: str = setting(
        "", "Qdrant's API key.", section=_SERVICES, env="QDRANT_API_KEY", secret=True
    )
    qdrant_alias: str = setting("lectern-live", "Alias of the live generation.", section=_SERVICES)
    qdrant_replication_factor: int = setting(
        1, "Copies of each shard of a new collection.", section=_SERVICES, check=between(1, 8)
    )
    qdrant_read_consistency: str = setting(
        "",
        "Replicas that must agree on a read; empty leaves it to Qdrant.",
        section=_SERVICES,
        choices=("", "majority", "quorum", "all"),
    )
    storage_bucket: str = setting(
        "",
        "Bucket of lifeboats, spool and recovery points: `gs://name`, or `file:///folder` on one machine.",
        section=_SERVICES,
        env="STORAGE_BUCKET",
        check=url("gs", "file"),
    )
    storage_endpoint: str = setting(
        "",
        "Address of a Cloud Storage stand-in; empty for the real one.",
        section=_SERVICES,
        check=url("http", "https"),
    )

    redis_url: str = setting(
        "",
        "Redis for the answer cache that instances share: `rediss://user:password@host:port`; empty keeps it "
        "in Postgres.",
        section=_SERVICES,
        env="REDIS_URL",
        secret=True,
        check=url("redis", "rediss"),
    )

    site_folder: str = setting(
        "",
        "Where `POST /ingest` reads the site: a folder of Markdown or of a built site, `gs://bucket/prefix`, "
        "or an `https://` address.",
        section=_SITE,
    )
    site_base_url: str = setting(
        "/docs",
        "Address of the site's pages: `https://docs.example.com`, or a path such as `/docs`.",
        section=_SITE,
    )

    site_allowed_hosts: tuple[str, ...] = setting(
        (),
        "Hosts of the site that may be read over plain HTTP and in a private network, such as `localhost`; "
        "all others over HTTPS at public addresses alone.",
        section=_INGESTION,
    )
    site_connections: int = setting(
        4, "Pages of a site that are fetched at a time.", section=_INGESTION, check=between(1, 32)
    )
    site_requests_per_second: float = setting(
        20.0, "Requests a second that a site is asked, at most.", section=_INGESTION, check=between(0.1, 1000)
    )
    golden_questions: str = setting(
        "",
        "Golden questions about the site: a folder, or `gs://bucket/prefix`, with `queries.jsonl` and "
        "`qrels.tsv`. A new generation must answer them as well as the live one. Empty: nobody asks.",
        section=_INGESTION,
    )
    golden_margin: float = setting(
        0.05,
        "How far the scores of a new generation may lie below those of the live one.",
        section=_INGESTION,
        check=between(0, 1),
    )
    removal_limit: float = setting(
        0.2,
        "Share of the pages that one ingestion may remove without being allowed to. Fewer than five may go "
        "as long as half of the pages stay.",
        section=_INGESTION,
        check=between(0, 1),
    )
    previous_generations: int = setting(
        1,
        "Generations before the live one that are kept for going back.",
        section=_INGESTION,
        check=between(0, 10),
    )
    ingest_wait_seconds: float = setting(
        900.0,
        "How long an ingestion waits for a backup, or another ingestion, to end.",
        section=_INGESTION,
        check=between(0, 86_400),
    )
    ingest_tasks: int = setting(
        0,
        "Tasks of the job that `POST /ingest` starts; 0: one for every 2,000 pages that the site had at the "
        "last run, at most 16.",
        section=_INGESTION,
        check=between(0, 64),
    )
    ingest_request_seconds: float = setting(
        240.0,
        "How long `POST /ingest` works inside the request when it is told to wait; a job goes on afterwards.",
        section=_INGESTION,
        check=between(1, 3500),
    )
    deploy_hook_key: str = setting(
        "",
        "Any long random text: who sends it in `X-Deploy-Key` may call `POST /ingest`. Empty: no key may.",
        section=_CALLERS,
        secret=True,
        check=lambda value: "" if not value or len(value) >= _SHORTEST_KEY else "24 characters or more",
    )
    task_index: int = setting(
        0,
        "Which task of a Cloud Run job this process is; Cloud Run sets it.",
        section=_INGESTION,
        env="CLOUD_RUN_TASK_INDEX",
        check=between(0, 9_999),
    )
    task_count: int = setting(
        1,
        "How many tasks the job has; Cloud Run sets it.",
        section=_INGESTION,
        env="CLOUD_RUN_TASK_COUNT",
        check=between(1, 10_000),
    )

    project: str = setting(
        "",
        "Google Cloud project whose Cloud Run jobs do long work; empty: child processes of this machine do.",
        section=_SERVICES,
        key="platform.project",
    )
    region: str = setting("europe-west1", "Region of these jobs.", section=_SERVICES, key="platform.region")
    cloud_run_endpoint: str = setting(
        "",
        "Address of a stand-in for Cloud Run, and for Cloud Monitoring and IAM Credentials, which a release "
        "asks as well; empty for the real ones.",
        section=_SERVICES,
        check=url("http", "https"),
    )
    release: str = setting(
        "", "Which release this is; a deployment sets it.", section=_GENERAL, env="LECTERN_RELEASE"
    )
    release_api_key: str = setting(
        "",
        "API key with which a release asks chat its questions, in access mode `key`.",
        section=_ACCESS,
        secret=True,
    )
    scheduler_endpoint: str = setting(
        "",
        "Address of a Cloud Scheduler stand-in; empty for the real one.",
        section=_SERVICES,
        check=url("http", "https"),
    )
    storage_credentials: str = setting(
        "metadata",
        "Who vouches for calls to Cloud Storage: the instance's own service account (`metadata`), or the "
        "application default credentials of this machine (`default`).",
        section=_SERVICES,
        choices=("metadata", "default"),
    )

    embedder: str = setting(
        "auto",
        "Who makes vectors. `auto`: Gemini when a key is set, else the local model, else none.",
        section=_MODELS,
        choices=("auto", "gemini", "local", "none"),
    )
    embedding_model_folder: str = setting(
        "", "A folder with `model.onnx` and `tokenizer.json` instead of the packaged MiniLM.", section=_MODELS
    )
    generator: str = setting(
        "auto",
        "Who writes answers. `auto`: Gemini when a key is set, else the passages themselves.",
        section=_MODELS,
        choices=("auto", "gemini", "none"),
    )
    gemini_api_key: str = setting("", "Gemini's API key.", section=_MODELS, env="GEMINI_API_KEY", secret=True)
    gemini_client: str = setting(
        "rest",
        "How Gemini is called; `generativeai` uses Google's (retired) Python package.",
        section=_MODELS,
        env="GEMINI_CLIENT",
        choices=("rest", "generativeai"),
    )
    gemini_base_url: str = setting(
        "https://generativelanguage.googleapis.com",
        "Address of the Gemini API.",
        section=_MODELS,
        check=url("http", "https"),
    )
    gemini_embedding_base_url: str = setting(
        "",
        "Address of the Gemini API for vectors, where it is another one; empty for the same.",
        section=_MODELS,
        check=url("http", "https"),
    )
    gemini_model: str = setting("gemini-3.5-flash-lite", "Model that writes answers.", section=_MODELS)
    gemini_fallback_model: str = setting(
        "gemini-2.5-flash-lite",
        "Model that writes when the first one cannot; empty for none.",
        section=_MODELS,
    )
    gemini_input_usd_per_million: float = setting(
        0.30, "Price of a million input tokens.", section=_MODELS, check=between(0, 1000)
    )
    gemini_output_usd_per_million: float = setting(
        2.50, "Price of a million output tokens.", section=_MODELS, check=between(0, 1000)
    )
    gemini_embedding_model: str = setting(
        "gemini-embedding-001", "Model that makes vectors.", section=_MODELS
    )
    gemini_embedding_dimensions: int = setting(
        768, "Length of a vector.", section=_MODELS, check=between(128, 3072)
    )
    gemini_embedding_usd_per_million: float = setting(
        0.15, "Price of a million embedded tokens.", section=_MODELS, check=between(0, 1000)
    )

    request_deadline_seconds: float = setting(
        20.0, "Longest time a question may take.", section=_CHAT, check=between(1, 300)
    )
    max_content_length: int = setting(
        5_242_880, "Largest request body in bytes.", section=_CHAT, check=between(1024, 33_554_432)
    )
    question_max_characters: int = setting(
        2000, "Longest question.", section=_CHAT, check=between(10, 20_000)
    )
    rate_limit_requests: int = setting(
        60, "Questions a minute that one visitor may ask.", section=_CHAT, check=between(1, 100_000)
    )
    allowed_origins: tuple[str, ...] = setting(
        (), "Sites whose pages may call chat from a browser.", section=_CHAT, check=origins
    )

    cache_seconds: float = setting(
        3600.0,
        "How long an answer is kept for the same question.",
        section=_CHAT,
        check=between(0, 2_592_000),
    )
    conversation_retention_days: float = setting(
        30.0,
        "Days after which questions, answers and feedback are removed, at the next ingestion.",
        section=_CHAT,
        check=between(0.01, 3650),
    )
    redact_personal_data: bool = setting(
        True,
        "Whether e-mail addresses, telephone and other long numbers, tokens and keys are taken out of what "
        "is stored of a conversation.",
        section=_CHAT,
    )

    access_mode: str = setting(
        "public",
        "Who may ask: anybody within limits (`public`), holders of an API key (`key`) or of a token of the "
        "site's identity provider (`jwt`), or whom Cloud Run's IAM lets through (`platform`).",
        section=_ACCESS,
        choices=("public", "key", "jwt", "platform"),
    )
    visitor_secret: str = setting(
        "",
        "Any long random text: visitors' daily keys are made with it. Empty: each instance makes its own, "
        "and limits hold an instance.",
        section=_ACCESS,
        secret=True,
    )
    trusted_proxies: int = setting(
        1,
        "Proxies whose entry in `X-Forwarded-For` is believed: 1 on Cloud Run, more behind "
        "further ones, 0 without any.",
        section=_ACCESS,
        check=between(0, 10),
    )
    load_balancer_address: str = setting(
        "",
        "Address of the load balancer before chat (`terraform output edge_address`): a proxy more, for the "
        "requests that came through it.",
        section=_ACCESS,
    )
    jwt_issuer: str = setting(
        "", "Issuer of readers' tokens (`iss`).", section=_ACCESS, check=url("https", "http")
    )
    jwt_audience: str = setting("", "Audience that readers' tokens must name (`aud`).", section=_ACCESS)
    jwt_jwks_url: str = setting(
        "", "Where the issuer publishes its keys (JWKS).", section=_ACCESS, check=url("https", "http")
    )
    spend_cap_usd_day: float = setting(
        10.0,
        "US dollars a UTC day above which answers are quoted passages; 0 is no cap.",
        section=_ACCESS,
        check=between(0, 1_000_000),
    )
    spend_cap_usd_month: float = setting(
        100.0,
        "US dollars a UTC month above which answers are quoted passages; 0 is no cap.",
        section=_ACCESS,
        check=between(0, 1_000_000),
    )

    caller_mode: str = setting(
        "platform",
        "Who checks internal callers: Cloud Run's IAM (`platform`), the code itself (`verify`), or nobody "
        "(`open`, for one machine).",
        section=_CALLERS,
        choices=("platform", "verify", "open"),
    )
    caller_audience: str = setting(
        "", "Audience that an internal caller's token must name.", section=_CALLERS
    )
    caller_emails: tuple[str, ...] = setting(
        (), "Service accounts that may call ingestion, backups and the drill.", section=_CALLERS
    )

    database_direct_url: str = setting(
        "",
        "Postgres address for backups and restores, past the pooler; empty derives it from `DATABASE_URL`.",
        section=_RECOVERY,
        env="DATABASE_DIRECT_URL",
        secret=True,
        check=url("postgres", "postgresql"),
    )
    backup_key_file: str = setting(
        "",
        "File with the key that encrypts recovery points: 32 bytes in base64 on a line, readable by its "
        "owner alone. Further lines are earlier keys, for reading.",
        section=_RECOVERY,
    )
    backup_kms_key: str = setting(
        "",
        "Cloud KMS key that encrypts recovery points: `projects/…/locations/…/keyRings/…/cryptoKeys/…`. With "
        "a key file as well, new points use this one and the file's keys still read.",
        section=_RECOVERY,
    )
    backup_earlier_kms_keys: tuple[str, ...] = setting(
        (),
        "Cloud KMS keys that `backup_kms_key` named before: they still decrypt older points. A point that "
        "names any other key is refused.",
        section=_RECOVERY,
    )
    backup_unsealed: bool = setting(
        False,
        "Whether points without a seal are taken although there is a key, as `--unsealed` does: points from "
        "before there was one. Whoever can write to the bucket can forge such a point.",
        section=_RECOVERY,
    )
    kms_endpoint: str = setting(
        "",
        "Address of a Cloud KMS stand-in; empty for the real one.",
        section=_RECOVERY,
        check=url("http", "https"),
    )
    backup_snapshot_nodes: tuple[str, ...] = setting(
        (),
        "Addresses of all of Qdrant's nodes, when each is to make a snapshot of its own for every recovery "
        "point beside the export; on Qdrant Cloud `https://node-0-HOST`, `https://node-1-HOST`, … Empty for "
        "none.",
        section=_RECOVERY,
    )
    neon_api_key: str = setting(
        "",
        "Neon's API key. With `neon_project`, each backup also makes a branch, as an instant restore point.",
        section=_RECOVERY,
        env="NEON_API_KEY",
        secret=True,
    )
    neon_project: str = setting("", "Id of the Neon project.", section=_RECOVERY)
    neon_branch: str = setting(
        "", "Id of the branch that is branched; empty for the default one.", section=_RECOVERY
    )
    neon_branch_days: float = setting(
        7.0, "Days after which Neon removes such a branch.", section=_RECOVERY, check=between(0.1, 30)
    )
    neon_api_url: str = setting(
        "https://console.neon.tech/api/v2",
        "Address of Neon's API.",
        section=_RECOVERY,
        check=url("http", "https"),
    )
    backup_connections: int = setting(
        1,
        "Tables that a backup reads at a time, all in one snapshot.",
        section=_RECOVERY,
        check=between(1, 8),
    )
    backup_wait_seconds: float = setting(
        600.0, "How long a backup waits for an ingestion to end.", section=_RECOVERY, check=between(0, 86_400)
    )
    backup_request_seconds: float = setting(
        240.0,
        "A backup that is estimated to take longer than this is not done in the request: a job does it. 0 "
        "always starts the job.",
        section=_RECOVERY,
        check=between(0, 3600),
    )
    backup_seconds: float = setting(
        14_400.0, "Longest time that a backup may take.", section=_RECOVERY, check=between(60, 86_400)
    )

    alert_error_rate: float = setting(
        0.01,
        "Share of failed requests that warns.",
        section=_ALERTS,
        key="alert_thresholds.error_rate",
        check=between(0, 1),
    )
    alert_error_rate_critical: float = setting(
        0.05,
        "Share of failed requests that is critical.",
        section=_ALERTS,
        key="alert_thresholds.error_rate_critical",
        check=between(0, 1),
    )
    alert_latency_p95_seconds: float = setting(
        2.0,
        "95th percentile of time to the first token that warns.",
        section=_ALERTS,
        key="alert_thresholds.latency_p95",
        check=between(0, 300),
    )

    backup_keep_days: float = setting(
        30.0,
        "Days that every recovery point is kept. The newest one, the newest verified one and those on hold "
        "always stay.",
        section=_KEEPING,
        check=between(0, 36_500),
    )
    backup_keep_last: int = setting(
        3,
        "Newest recovery points that are kept whatever their age.",
        section=_KEEPING,
        check=between(0, 10_000),
    )
    backup_keep_daily: int = setting(
        0, "Days of which the newest recovery point is kept.", section=_KEEPING, check=between(0, 10_000)
    )
    backup_keep_weekly: int = setting(
        0, "Weeks of which the newest recovery point is kept.", section=_KEEPING, check=between(0, 10_000)
    )
    backup_keep_monthly: int = setting(
        0, "Months of which the newest recovery point is kept.", section=_KEEPING, check=between(0, 10_000)
    )
    backup_orphan_days: float = setting(
        2.0,
        "Days that parts without a manifest are kept: their backup may still be under way.",
        section=_KEEPING,
        check=between(0.05, 365),
    )
    backup_bucket: str = setting(
        "",
        "Bucket of recovery points: `gs://name` or `file:///folder`; empty for `STORAGE_BUCKET`.",
        section=_KEEPING,
        check=url("gs", "file"),
    )
    backup_copy_bucket: str = setting(
        "",
        "Second bucket, in another region, that each recovery point is copied to: `gs://name` or "
        "`file:///folder`; empty for none.",
        section=_KEEPING,
        check=url("gs", "file"),
    )
    rpo_hours: float = setting(
        24.0,
        "Hours of data that may be lost: `/health` is degraded when the newest recovery point is older. 0: "
        "not looked at.",
        section=_KEEPING,
        check=between(0, 8760),
    )
    rto_hours: float = setting(
        4.0,
        "Hours that a restore may take: `/health` is degraded when the last drill took longer. 0: not "
        "looked at.",
        section=_KEEPING,
        check=between(0, 8760),
    )
    drill_max_age_days: float = setting(
        8.0,
        "Days after which `/health` is degraded for want of a drill that passed. 0: not looked at.",
        section=_KEEPING,
        check=between(0, 3650),
    )
    drill_database_url: str = setting(
        "",
        "Empty Postgres database that a full drill restores into; empty for the sealed room's own.",
        section=_KEEPING,
        secret=True,
        check=url("postgres", "postgresql"),
    )
    drill_qdrant_url: str = setting(
        "",
        "Qdrant that a full drill restores into; empty for the sealed room's own.",
        section=_KEEPING,
        check=url("http", "https"),
    )
    drill_qdrant_api_key: str = setting("", "API key of that Qdrant.", section=_KEEPING, secret=True)


def declarations() -> list[Declaration]:
    """Every setting, in the order of the class."""
    found = []
    for item in fields(Settings):
        facts = dict(item.metadata)
        default = item.default if item.default is not MISSING else None
        facts["env"] = facts["env"] or f"LECTERN_{item.name.upper()}"
        facts["key"] = "" if facts["secret"] else facts["key"] or item.name
        found.append(Declaration(name=item.name, kind=type(default), default=default, **facts))
    return found


def load(
    environ: Mapping[str, str] | None = None,
    *,
    folder: Path = CONFIG_FOLDER,
    require: Sequence[str] = (),
    **overrides: Any,
) -> Settings:
    """Read the settings.

    ``environ`` stands in for the process environment; ``require`` names settings that must not be
    empty for the caller's purpose; ``overrides`` (of the command line) win over everything.
    Raises :class:`SettingsError` with a line for each mistake.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    name = environ.get("LECTERN_ENV", "") or "development"
    from_file = _ours(read_file(folder / f"{name}.yaml", problems)) if name.isidentifier() else {}
    values: dict[str, Any] = {}
    for item in declarations():
        if item.name in overrides:
            values[item.name] = overrides[item.name]
        elif environ.get(item.env):
            values[item.name] = parse(item, environ[item.env], item.env, problems)
        elif item.key and item.key in from_file:
            values[item.name] = parse(item, from_file[item.key], f"{name}.yaml: {item.key}", problems)
        if item.name in require and not values.get(item.name, item.default):
            problems.append(f"{item.env} is missing: {item.help}")
    problems += _unknown(environ, from_file, name)
    if problems:
        raise SettingsError(problems)
    return Settings(**values)


def environment(settings: Settings) -> dict[str, str]:
    """The environment with which a child process reads these settings, also those that the command line
    gave. A setting that is empty is left to the file.
    """
    values = {item.env: _text(getattr(settings, item.name)) for item in declarations()}
    values["LECTERN_HOME"] = str(Path(settings.home).absolute())
    others = {key: value for key, value in os.environ.items() if key not in values}
    return others | {key: value for key, value in values.items() if value}


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _ours(from_file: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says to the code: of the platform's sections, what is a setting."""
    known = {item.key for item in declarations()}
    return {
        key: value
        for key, value in from_file.items()
        if key in known or key.partition(".")[0] not in PLATFORM_SECTIONS
    }


def secret_references(environment: str, folder: Path = CONFIG_FOLDER) -> dict[str, Any]:
    """Section ``secrets`` of an environment's file: variable -> name and version of a secret. No value."""
    found: dict[str, Any] = {}
    for key, value in read_file(folder / f"{environment}.yaml", []).items():
        if key.startswith(SECRETS):
            variable, _, fact = key.removeprefix(SECRETS).partition(".")
            found.setdefault(variable, {})[fact] = value
    return found


def _unknown(environ: Mapping[str, str], from_file: Mapping[str, Any], name: str) -> list[str]:
    known_env = [item.env for item in declarations()]
    known_keys = [item.key for item in declarations() if item.key]
    secrets = {item.name: item.env for item in declarations() if item.secret}
    lines = [
        f"{variable} is not a setting{did_you_mean(variable, known_env)}"
        for variable in sorted(environ)
        if variable.startswith("LECTERN_") and variable not in known_env
    ]
    for key in sorted(from_file):
        if key in secrets:
            lines.append(f"{name}.yaml: {key} is a secret: set {secrets[key]} in the environment instead")
        elif key.startswith(SECRETS):
            lines += _reference_problem(key, name, set(secrets.values()))
        elif key not in known_keys:
            lines.append(f"{name}.yaml: {key} is not a setting{did_you_mean(key, known_keys)}")
    return lines


def _reference_problem(key: str, name: str, variables: set[str]) -> list[str]:
    """What is wrong with one line of the section ``secrets``; never shows a value."""
    variable, _, fact = key.removeprefix(SECRETS).partition(".")
    if variable not in variables:
        near = did_you_mean(variable, sorted(variables))
        return [f"{name}.yaml: {SECRETS}{variable} is not a secret setting{near}"]
    if fact not in {"secret", "version"}:
        return [f"{name}.yaml: {SECRETS}{variable} must name a secret and its version, and hold nothing else"]
    return []
