"""Templates, services and revisions as google-cloud-run has them, and as ours. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.cloud import run_v2
from google.protobuf.duration_pb2 import Duration

from shared.ports import HttpProbe, Revision, Service, Target, Template

LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
BY_NAME = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
SUCCEEDED = run_v2.Condition.State.CONDITION_SUCCEEDED
_EGRESS = {
    True: run_v2.VpcAccess.VpcEgress.ALL_TRAFFIC,
    False: run_v2.VpcAccess.VpcEgress.PRIVATE_RANGES_ONLY,
}


def short(name: str) -> str:
    """The last part of a resource's name."""
    return name.rpartition("/")[2]


def service_of(found: run_v2.Service) -> Service:
    """Ours. A tag's address stands in the status alone."""
    urls = {status.tag: status.uri for status in found.traffic_statuses if status.tag}
    ready = found.terminal_condition
    return Service(
        name=short(found.name),
        url=found.uri,
        etag=found.etag,
        traffic=tuple(_target(one, urls) for one in found.traffic) or (Target("", 100),),
        newest=short(found.latest_created_revision),
        newest_ready=short(found.latest_ready_revision),
        annotations=dict(found.annotations),
        settled=ready.state == SUCCEEDED and not found.reconciling,
        message=ready.message,
    )


def _target(one: run_v2.TrafficTarget, urls: Mapping[str, str]) -> Target:
    revision = "" if one.type_ == LATEST else short(one.revision)
    return Target(revision, one.percent, one.tag, urls.get(one.tag, "") if one.tag else "")


def traffic_of(targets: Iterable[Target]) -> list[run_v2.TrafficTarget]:
    return [
        run_v2.TrafficTarget(
            type_=BY_NAME if one.revision else LATEST,
            revision=one.revision,
            percent=one.percent,
            tag=one.tag,
        )
        for one in targets
    ]


def revision_of(found: run_v2.Revision) -> Revision:
    """Ours, of its first container."""
    container = found.containers[0] if found.containers else run_v2.Container()
    ready = next((one for one in found.conditions if one.type_ == "Ready"), run_v2.Condition())
    plain = {one.name: one.value for one in container.env if not one.value_source}
    return Revision(short(found.name), container.image, ready.state == SUCCEEDED, ready.message, plain)


def revision_template(template: Template) -> run_v2.RevisionTemplate:
    """The whole template of a service's next revision."""
    container = _container(template)
    container.ports = [run_v2.ContainerPort(name="http1", container_port=8080)]
    container.startup_probe = _probe(template.startup)
    container.liveness_probe = _probe(template.liveness)
    container.resources.cpu_idle = True
    container.resources.startup_cpu_boost = template.cpu_boost
    return run_v2.RevisionTemplate(
        revision=template.revision,
        containers=[container],
        service_account=template.account,
        timeout=Duration(seconds=template.timeout_seconds),
        max_instance_request_concurrency=template.concurrency,
        session_affinity=template.session_affinity,
        vpc_access=_network(template),
    )


def execution_template(template: Template) -> run_v2.ExecutionTemplate:
    """The whole template of a job's next executions."""
    task = run_v2.TaskTemplate(
        containers=[_container(template)],
        service_account=template.account,
        timeout=Duration(seconds=template.timeout_seconds),
        max_retries=template.retries,
        vpc_access=_network(template),
    )
    return run_v2.ExecutionTemplate(template=task, parallelism=template.parallelism, task_count=1)


def _container(template: Template) -> run_v2.Container:
    plain = [run_v2.EnvVar(name=name, value=value) for name, value in sorted(template.environment.items())]
    return run_v2.Container(
        image=template.image,
        command=list(template.command),
        env=[*plain, *(_secret(*item) for item in sorted(template.secrets.items()))],
        resources=run_v2.ResourceRequirements(limits={"cpu": _cpu(template.cpu), "memory": template.memory}),
    )


def _secret(variable: str, reference: tuple[str, str]) -> run_v2.EnvVar:
    secret, version = reference
    selector = run_v2.SecretKeySelector(secret=secret, version=version)
    return run_v2.EnvVar(name=variable, value_source=run_v2.EnvVarSource(secret_key_ref=selector))


def _cpu(cpu: float) -> str:
    return str(int(cpu)) if cpu == int(cpu) else f"{int(cpu * 1000)}m"


def _probe(probe: HttpProbe | None) -> Any:
    if probe is None:
        return None
    return run_v2.Probe(
        http_get=run_v2.HTTPGetAction(path=probe.path),
        period_seconds=probe.period_seconds,
        timeout_seconds=probe.timeout_seconds,
        failure_threshold=probe.failures,
    )


def _network(template: Template) -> Any:
    if not template.subnet:
        return None
    interface = run_v2.VpcAccess.NetworkInterface(network=template.network, subnetwork=template.subnet)
    return run_v2.VpcAccess(network_interfaces=[interface], egress=_EGRESS[template.all_egress])
