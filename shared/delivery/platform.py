"""The section ``platform`` of ``config/<environment>.yaml``: what Google Cloud runs, and with what.

One file for each environment, two readers. Terraform reads it with ``yamldecode`` and owns services,
identities, access, scaling, buckets, schedules and alerts. A release reads it with
:func:`shared.delivery.platform_file.load_platform` and
deploys what belongs to a revision: variables, secret versions, processor, memory, concurrency, time-out,
probes, account and egress. Neither touches what the other owns (``terraform/README.md``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.declarations import between
from shared.delivery.reading import one_of, value
from shared.ports.services import AWAY

ENVIRONMENTS = ("staging", "production")
FRONT = "chat"
"""The function that readers call: the only one that is public, judged, and in two regions."""
FUNCTIONS = (FRONT, "health", "ingest", "backup_neon", "backup_qdrant", "drill")
JOBS = ("ingest", "backup_neon", "backup_qdrant", "drill")
MAX_SCHEDULER_SECONDS = 1800
"""Cloud Scheduler waits 30 minutes for an answer at most."""
_EIGHTH = 0.125


def _matches(pattern: str, words: str) -> Any:
    return lambda text: "" if re.fullmatch(pattern, text) else words


_memory = _matches(r"[1-9][0-9]*(Mi|Gi)", "an amount such as 512Mi or 2Gi")
_project = _matches(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "a project id such as lectern-production")
_region = _matches(r"([a-z]+-[a-z]+[0-9]+)?", "a region such as europe-west1")
_cron = _matches(r"\S+( \S+){4}", "five cron fields such as 0 2 * * *")
_path = _matches(r"/[a-z/-]*", "a path such as /live")


def _cpu(cpu: float) -> str:
    return "" if cpu in {1.0, 2.0, 4.0, 6.0, 8.0} or _EIGHTH <= cpu < 1 else "1, 2, 4, 6, 8 or less than 1"


def _steps(steps: tuple[int, ...]) -> str:
    rising = list(steps) == sorted(set(steps)) and all(step > 0 for step in steps)
    return "" if steps and rising and steps[-1] == 100 else "rising shares that end at 100"  # noqa: PLR2004


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """An HTTP probe of a container; ``failures`` in a row condemn it. All times in seconds."""

    path: str = value(check=_path)
    period_seconds: int = value(10, check=between(1, 240))
    timeout_seconds: int = value(3, check=between(1, 240))
    failures: int = value(3, check=between(1, 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One service. ``public`` turns off Cloud Run's check of callers, for chat alone; ``secrets`` are names
    of variables that stand in the section ``secrets`` of the same file. ``concurrency`` is also the number
    of threads. Scaling belongs to Terraform; everything else goes into each revision.
    """

    cpu: float = value(1, check=_cpu)
    memory: str = value("512Mi", check=_memory)
    concurrency: int = value(80, check=between(1, 1000))
    timeout_seconds: int = value(60, check=between(1, 3600))
    min_instances: int = value(0, check=between(0, 1000))
    max_instances: int = value(10, check=between(1, 1000))
    session_affinity: bool = False
    cpu_boost: bool = True
    public: bool = False
    secrets: tuple[str, ...] = ()
    startup: Probe = Probe(path="/live", period_seconds=2, timeout_seconds=2, failures=30)
    liveness: Probe = Probe(path="/live", period_seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One Cloud Run job. ``parallelism`` bounds the tasks that run at a time; 0 leaves it to Cloud Run."""

    cpu: float = value(1, check=_cpu)
    memory: str = value("1Gi", check=_memory)
    timeout_seconds: int = value(3600, check=between(1, 604_800))
    retries: int = value(3, check=between(0, 10))
    parallelism: int = value(0, check=between(0, 1000))
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When Cloud Scheduler calls a function, on which path, and how long it waits for the answer. The
    function is that of the schedule's own name, or ``function``.
    """

    cron: str = value(check=_cron)
    function: str = ""
    path: str = value(check=_path)
    method: str = value("POST", check=one_of("POST", "GET"))
    time_zone: str = "Etc/UTC"
    deadline_seconds: int = value(MAX_SCHEDULER_SECONDS, check=between(15, MAX_SCHEDULER_SECONDS))
    retries: int = value(3, check=between(0, 5))
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How instances reach Neon and Qdrant. ``direct``: through the project's own network; ``static_address``
    then sends all of it from one address, for their allow-lists. ``range`` is the subnet's, /26 or larger.
    """

    egress: str = value("none", check=one_of("none", "direct"))
    static_address: bool = False
    range: str = value("10.8.0.0/26", check=_matches(r"[0-9.]+/[0-9]+", "a range such as 10.8.0.0/26"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataBucket:
    """The bucket of lifeboats, spool, suggestions and sites to ingest: the setting ``storage_bucket``."""

    location: str = ""
    soft_delete_days: int = value(7, check=between(0, 90))
    noncurrent_days: int = value(30, check=between(1, 3650))


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupBucket:
    """The bucket of recovery points: the setting ``backup_bucket``. ``retention_days`` forbids anybody to
    delete a younger object; with ``retention_locked`` nobody can shorten it again, ever.
    ``second_location`` is where the bucket of the setting ``backup_copy_bucket`` lies. With
    ``delete_after_days`` (0: off) the bucket itself deletes everything of that age, points on hold included.
    """

    location: str = ""
    retention_days: int = value(7, check=between(0, 3650))
    retention_locked: bool = False
    soft_delete_days: int = value(30, check=between(7, 90))
    noncurrent_days: int = value(30, check=between(1, 3650))
    delete_after_days: int = value(0, check=between(0, 3650))
    second_location: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    data: DataBucket = DataBucket()
    backup: BackupBucket = BackupBucket()


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """``emails`` get the alerts. What they are held against are settings: ``alert_thresholds``,
    ``rpo_hours``, ``drill_max_age_days``, ``spend_cap_usd_month``.
    """

    emails: tuple[str, ...] = ()
    uptime_period_seconds: int = value(
        300, check=lambda s: "" if s in {60, 300, 600, 900} else "60, 300, 600 or 900"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the whole project may cost a month before somebody is told; without an account there is none."""

    billing_account: str = ""
    usd_month: int = value(50, check=between(1, 1_000_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A load balancer with Cloud Armor before chat, which runs in ``second_region`` as well."""

    enabled: bool = False
    second_region: str = value("", check=_region)
    domains: tuple[str, ...] = ()
    requests_per_minute: int = value(120, check=between(10, 100_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cicd:
    """``repository`` (owner/name on GitHub) starts a release for each push to ``branch``; empty: no trigger.
    ``outside_ci`` lets that repository's own workflows sign in without a key. ``promotes_to`` names the
    project whose releases may take over images of this one; there, ``promotes_from`` names the bucket of
    this one's manifests (``gs://…``), and then no push starts a release, a person does. ``keep_images``
    bounds how far both can roll back: production runs the images of staging, which pushes more often.
    """

    repository: str = value("", check=_matches(r"([\w.-]+/[\w.-]+)?", "owner/name"))
    branch: str = "main"
    outside_ci: bool = False
    promotes_to: str = ""
    promotes_from: str = value(
        "", check=_matches(r"(gs://\S+)?", "a bucket such as gs://lectern-staging-data")
    )
    keep_images: int = value(100, check=between(2, 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """How readers are moved to a new revision of chat. ``steps`` are shares in percent; at each the candidate
    is watched for ``step_seconds`` and asked at least ``questions`` golden questions, as stable is,
    ``questions_per_minute`` in all: fewer than a visitor may ask. One that nothing can be told of is watched
    for ``patience_seconds`` longer. A canary that nobody tends is anybody's after ``lease_seconds``.
    """

    steps: tuple[int, ...] = value((10, 50, 100), check=_steps)
    step_seconds: int = value(300, check=between(1, 86_400))
    questions: int = value(20, check=between(1, 1000))
    questions_per_minute: int = value(40, check=between(1, 10_000))
    patience_seconds: int = value(900, check=between(0, 86_400))
    lease_seconds: int = value(300, check=between(1, 3600))


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Everything of one environment. ``secrets``: variable -> (secret's name, pinned version)."""

    project: str = value(check=_project)
    region: str = value(check=_region)
    functions: Mapping[str, Function]
    jobs: Mapping[str, Job]
    schedules: Mapping[str, Schedule]
    buckets: Buckets = Buckets()
    network: Network = Network()
    monitoring: Monitoring = Monitoring()
    budget: Budget = Budget()
    edge: Edge = Edge()
    cicd: Cicd = Cicd()
    canary: Canary = Canary()
    repository: str = "lectern"


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """A version of a secret in Secret Manager; never its value."""

    secret: str
    version: str


@dataclass(frozen=True, slots=True)
class Environment:
    """What one file says to Terraform and to a release. ``settings`` are the other keys of the file, as they
    stand there.
    """

    name: str
    platform: Platform
    secrets: Mapping[str, SecretVersion]
    settings: Mapping[str, Any]

    def secrets_of(self, names: tuple[str, ...]) -> dict[str, SecretVersion]:
        """The references of these variables."""
        return {name: self.secrets[name] for name in names}


@dataclass(frozen=True, slots=True)
class Member:
    """One service of a release: which function it is, and where it runs."""

    function: str
    region: str


def members(platform: Platform) -> dict[str, Member]:
    """Every service of a release by its key, chat first: each function in the region, and chat once more in
    the second one, where the load balancer has readers for it. See :func:`shared.ports.services.located`.
    """
    found = {service_name(name): Member(name, platform.region) for name in FUNCTIONS}
    if platform.edge.enabled and platform.edge.second_region:
        away = platform.edge.second_region
        found[f"{service_name(FRONT)}{AWAY}{away}"] = Member(FRONT, away)
    return found


def service_name(function: str) -> str:
    """Name of a function's Cloud Run service: ``backup_neon`` -> ``lectern-backup-neon``."""
    return f"lectern-{function.replace('_', '-')}"


def job_name(job: str) -> str:
    """Name of a Cloud Run job: ``backup_neon`` -> ``lectern-backup-neon-job``."""
    return f"{service_name(job)}-job"


def callers(project: str) -> tuple[str, ...]:
    """Accounts that call the internal functions: the schedules', and that of releases, which try them."""
    return tuple(
        f"{name}@{project}.iam.gserviceaccount.com" for name in ("lectern-schedules", "lectern-release")
    )
