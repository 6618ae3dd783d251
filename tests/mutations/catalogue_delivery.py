"""Mutations of releases: Cloud Run's services, Cloud Monitoring, and what is decided."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

_SERVICES = ("tests/contract/test_services.py",)
_MEASUREMENTS = ("tests/contract/test_measurements.py",)
_STEPS = ("tests/delivery/test_steps.py",)
_VERDICT = ("tests/delivery/test_verdict.py",)

DELIVERY = [
    Mutation(
        "CloudRunServices",
        "shared/adapters/cloud_run_services.py",
        "run_v2.Service(name=full, etag=service.etag, **wanted)",
        "run_v2.Service(name=full, **wanted)",
        "two that change a service undo each other's work",
        _SERVICES,
        "old_state and cloud_run",
    ),
    Mutation(
        "CloudRunServices",
        "shared/adapters/cloud_run_services.py",
        "merged = {**service.annotations, **change.annotations}",
        "merged = dict(change.annotations)",
        "a step of a release forgets what another wrote down",
        _SERVICES,
        "merged and cloud_run",
    ),
    Mutation(
        "CloudRunServices",
        "shared/adapters/cloud_run_services.py",
        "change.template is not None or not self._is_routed(full, change, deadline)",
        "True",
        "after a revision that did not come up, readers cannot be moved",
        _SERVICES,
        "does_not_come_up and cloud_run",
    ),
    Mutation(
        "CloudRunServices",
        "shared/adapters/cloud_run_services.py",
        "        if found.template == wanted:\n            return\n",
        "",
        "each release makes a new version of each job",
        _SERVICES,
        "deployed_once",
    ),
    Mutation(
        "CloudMeasurements",
        "shared/adapters/monitoring.py",
        "total if kind == _ERROR_CLASS else 0",
        "total",
        "every request counts as an error",
        _MEASUREMENTS,
        "counted",
    ),
    Mutation(
        "CloudMeasurements",
        "shared/adapters/monitoring.py",
        "bound / 1000.0 for bound",
        "bound for bound",
        "latencies are a thousand times too long",
        _MEASUREMENTS,
        "latencies",
    ),
    Mutation(
        "CloudMeasurements",
        "shared/adapters/monitoring.py",
        "    if name in found:\n",
        "    if found:\n        name = next(iter(found))\n",
        "a candidate is judged by stable's requests",
        _MEASUREMENTS,
        "counted",
    ),
    Mutation(
        "delivery",
        "shared/delivery/standing.py",
        "    return bool(known) and known != written(shares(service))",
        "    return False",
        "a rollback with gcloud is undone by the next build",
        _STEPS,
        "somebody_moves",
    ),
    Mutation(
        "delivery",
        "shared/delivery/finishing.py",
        "    if problem:\n",
        "    if False:\n",
        "functions are left on two releases",
        _STEPS,
        "cannot_follow",
    ),
    Mutation(
        "delivery",
        "shared/delivery/verdict.py",
        "lost_more(lost, won) < criteria.chance",
        "False",
        "wrong answers reach readers",
        _VERDICT,
        "test_verdicts",
    ),
]
