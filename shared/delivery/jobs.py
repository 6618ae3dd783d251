"""The jobs of a release: they run its image from the moment that the set has moved."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from shared.delivery.fleet import Outcome, patiently
from shared.delivery.platform import JOBS, Environment, job_name
from shared.delivery.template import job_template
from shared.errors import LecternError
from shared.ports import JobTemplates, Template
from shared.resilience.deadline import Deadline
from shared.resilience.retry import Sleep


def jobs_of(environment: Environment, image: str, release: str) -> dict[str, Template]:
    """Each job's name on Cloud Run, and what it shall run."""
    return {job_name(name): job_template(environment, name, image, release) for name in JOBS}


def deploy_jobs(
    jobs: JobTemplates, templates: Mapping[str, Template], deadline: Deadline, sleep: Sleep
) -> list[Outcome]:
    """Deploy all at the same time; the outcome of each."""

    def one(name: str) -> Outcome:
        try:
            patiently(lambda: jobs.deploy(name, templates[name], deadline), deadline, sleep)
        except LecternError as error:
            return Outcome(name, error=error)
        return Outcome(name, changed=True)

    if not templates:
        return []
    with ThreadPoolExecutor(len(templates)) as pool:
        return list(pool.map(one, sorted(templates)))
