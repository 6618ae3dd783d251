"""What a revision of each function is made of, from ``config/<environment>.yaml``. Pure."""

from __future__ import annotations

from typing import Any

from shared.delivery.platform import Environment, Function, Job, Member, Probe, service_name
from shared.ports import HttpProbe, Template

# functions-framework puts the folder of the function's file alone on the path; the buildpack's root is this.
_PATH = {"PYTHONPATH": "/workspace"}
LAUNCHER = "/cnb/lifecycle/launcher"
"""Puts the layers of a buildpack's image on the path: neither python nor a package is found without it.

Source: Cloud Native Buildpacks, Platform Interface Specification, "Launch".
"""
JOB_COMMAND = (LAUNCHER, "python", "-m", "shared.cli.main")


def function_template(
    environment: Environment, member: Member, image: str, revision: str, release: str
) -> Template:
    """The template of a service: everything but scaling, which is Terraform's."""
    name = member.function
    own = environment.platform.functions[name]
    variables = {
        "FUNCTION_SOURCE": f"functions/{name}.py",
        "FUNCTION_TARGET": name,
        # One thread serves one stream.
        "THREADS": str(own.concurrency),
    }
    return Template(
        revision=revision,
        image=image,
        environment={**_variables(environment, release), **variables},
        secrets=_secrets(environment, own),
        account=account(environment, name),
        cpu=own.cpu,
        memory=own.memory,
        timeout_seconds=own.timeout_seconds,
        concurrency=own.concurrency,
        startup=_probe(own.startup),
        liveness=_probe(own.liveness),
        session_affinity=own.session_affinity,
        cpu_boost=own.cpu_boost,
        **_network(environment, member.region),
    )


def job_template(environment: Environment, name: str, image: str, release: str) -> Template:
    """The template of a job, which runs the command line with the arguments of each start."""
    own = environment.platform.jobs[name]
    return Template(
        revision="",
        image=image,
        environment=_variables(environment, release),
        secrets=_secrets(environment, own),
        account=account(environment, name),
        cpu=own.cpu,
        memory=own.memory,
        timeout_seconds=own.timeout_seconds,
        command=JOB_COMMAND,
        retries=own.retries,
        parallelism=own.parallelism,
        **_network(environment, environment.platform.region),
    )


def account(environment: Environment, name: str) -> str:
    """The service account of a function and its job."""
    return f"{service_name(name)}@{environment.platform.project}.iam.gserviceaccount.com"


def _variables(environment: Environment, release: str) -> dict[str, str]:
    return {**_PATH, "LECTERN_ENV": environment.name, "LECTERN_RELEASE": release}


def _secrets(environment: Environment, own: Function | Job) -> dict[str, tuple[str, str]]:
    found = environment.secrets_of(own.secrets)
    return {variable: (one.secret, one.version) for variable, one in found.items()}


def _probe(probe: Probe) -> HttpProbe:
    return HttpProbe(probe.path, probe.period_seconds, probe.timeout_seconds, probe.failures)


def _network(environment: Environment, region: str) -> dict[str, Any]:
    if environment.platform.network.egress == "none":
        return {}
    return {"subnet": f"lectern-{region}", "all_egress": True}
