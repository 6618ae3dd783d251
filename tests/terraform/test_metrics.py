"""Alerts, dashboard and service levels against the metrics that there are."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest

from shared.delivery.platform import service_name
from shared.delivery.platform_file import load_platform
from shared.telemetry import catalogue
from shared.telemetry.catalogue import MEASURES, PLATFORM
from tests.terraform.policies import of, resources
from tests.terraform.workspace import ROOT, Workspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
OWN = "logging.googleapis.com/user/"
_TYPE = re.compile(r'metric\.type=\\*"([\w./]+)\\*"')
ALERT = "google_monitoring_alert_policy"
READERS = (
    ALERT,
    "google_monitoring_dashboard",
    "google_monitoring_slo",
)


@pytest.fixture(scope="module")
def planned(plans: dict[str, dict[str, Any]]) -> list[Any]:
    return resources(plans["everything"])


@pytest.fixture(scope="module")
def referred(planned: list[Any]) -> set[str]:
    """Every metric that an alert, the dashboard or a service level names.

    A filter that holds an id of this plan is known only after apply: those are read from the files.
    """
    texts = [json.dumps(one.values) for one in of(planned, *READERS)]
    texts += [path.read_text() for path in (ROOT / "terraform/modules/monitoring").glob("*.tf")]
    return {found for text in texts for found in _TYPE.findall(text)} | {
        f"{OWN}{name}" for text in texts for name in re.findall(r'local\.own\["(\w+)"\]', text)
    }


def test_every_metric_that_is_watched_exists(planned: list[Any], referred: set[str]) -> None:
    """An alert on a metric that nobody writes stays silent for ever, and looks like good news."""
    made = {f"{OWN}{one.values['name']}" for one in of(planned, "google_logging_metric")}
    assert referred, "nothing is watched"
    assert referred <= made | set(PLATFORM)
    assert {metric for metric in PLATFORM if metric not in referred} == set(), "listed, but not used"


def test_terraform_makes_a_metric_of_every_measure(planned: list[Any]) -> None:
    """The code would write figures that go nowhere, or under labels that Terraform does not know."""
    made = {
        one.values["name"]: one.values
        for one in of(planned, "google_logging_metric")
        if one.values.get("value_extractor")
    }
    assert set(made) == {measure.name for measure in MEASURES}
    for measure in MEASURES:
        values = made[measure.name]
        assert f'jsonPayload.measure="{measure.name}"' in values["filter"]
        assert values["value_extractor"] == "EXTRACT(jsonPayload.value)"
        [descriptor] = values["metric_descriptor"]
        assert descriptor["unit"] == measure.unit
        assert {label["key"] for label in descriptor["labels"]} == set(measure.labels)
        extractors = {name: f"EXTRACT(jsonPayload.labels.{name})" for name in measure.labels}
        assert (values["label_extractors"] or {}) == extractors


def test_the_code_writes_every_measure() -> None:
    """The alert on the age of the backups would wait for lines that no function writes."""
    written = set()
    for path in (ROOT / "shared").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "measure"
            ):
                written |= {argument.id for argument in node.args if isinstance(argument, ast.Name)}
    names = {name for name, value in vars(catalogue).items() if isinstance(value, catalogue.Measure)}
    assert names <= written
    assert {vars(catalogue)[name] for name in names} == set(MEASURES)


def test_the_thresholds_are_those_of_the_settings(planned: list[Any]) -> None:
    """An alert would wake people at another figure than the settings and the health answer say."""
    limits: dict[str, float] = {}
    for one in of(planned, "google_monitoring_alert_policy"):
        [condition, *_] = one.values["conditions"]
        if condition.get("condition_threshold"):
            limits[one.address] = condition["condition_threshold"][0]["threshold_value"]
    own = "module.monitoring.google_monitoring_alert_policy."
    assert limits[f'{own}error_rate["warning"]'] == 0.01
    assert limits[f'{own}error_rate["critical"]'] == 0.05
    assert limits[f"{own}slow"] == 2
    assert limits[f'{own}gauge["recovery_point_age"]'] == 30 * 3600
    assert limits[f'{own}gauge["drill_age"]'] == 9 * 86_400
    assert limits[f'{own}gauge["spend_warning"]'] == 200
    assert limits[f'{own}gauge["spend_cap"]'] == 250


def test_buckets_of_a_metric_are_fine_enough_around_its_limits(planned: list[Any]) -> None:
    """An alert at 24 hours would fire at 20 or at 30: percentiles are read between two bounds."""
    limits = {"lectern_first_token_seconds": 2.0, "lectern_recovery_point_age_seconds": 86_400.0}
    limits |= {"lectern_drill_age_seconds": 8 * 86_400.0, "lectern_spend_usd_month": 100.0}
    for one in of(planned, "google_logging_metric"):
        if one.values["name"] in limits:
            [bounds] = one.values["bucket_options"][0]["exponential_buckets"]
            scale, growth, number = (bounds[key] for key in ("scale", "growth_factor", "num_finite_buckets"))
            edges = [scale * growth**place for place in range(int(number) + 1)]
            assert edges[0] < limits[one.values["name"]] < edges[-1]
            assert growth <= 1.05
            assert number <= 200, "Cloud Logging allows 200 buckets"


def test_a_call_that_always_waits_to_its_deadline_is_told(planned: list[Any]) -> None:
    """Nobody would hear of a function that hangs: its tries end too far apart to be counted as one call."""
    folder = ROOT / "tests/terraform/everything"
    schedules = load_platform("production", folder).platform.schedules
    alerts = [one for one in of(planned, ALERT) if ".schedule_failed[" in one.address]
    assert len(alerts) == len(schedules)
    for key, spec in schedules.items():
        [values] = [one.values for one in alerts if f'["{service_name(key)}"]' in one.address]
        [condition] = values["conditions"][0]["condition_threshold"]
        assert f'job_id="{service_name(key)}"' in condition["filter"]
        # Cloud Scheduler doubles the pause from 30 s to 600 s: terraform/modules/schedule.
        pauses = [min(30 * 2**place, 600) for place in range(spec.retries)]
        ends = [
            spec.deadline_seconds * (place + 1) + sum(pauses[:place]) for place in range(spec.retries + 1)
        ]
        window = int(condition["aggregations"][0]["alignment_period"].removesuffix("s"))
        assert window % 60 == 0
        assert ends[-1] - ends[0] < window
        assert condition["threshold_value"] < len(ends), "all tries fail, and it stays silent"
        assert condition["threshold_value"] >= len(ends) - 1, "it fires although a later try went well"


def test_metrics_are_made_before_what_reads_them(workspace: Workspace) -> None:
    """A first apply would end at an alert on a metric that is not there yet, at another one each time."""
    edges = set(re.findall(r'"([^"]+)" -> "([^"]+)"', workspace.must("graph")))
    own = "module.monitoring.google_"
    metrics = {f"{own}logging_metric.measure", f"{own}logging_metric.count"}
    readers = (
        *("monitoring_alert_policy.gauge", "monitoring_alert_policy.schedule_failed"),
        *("monitoring_alert_policy.silence", "monitoring_alert_policy.slow"),
        *("monitoring_dashboard.this", "monitoring_slo.first_words"),
    )
    for reader in readers:
        assert {(f"{own}{reader}", metric) for metric in metrics} <= edges, reader


def test_each_alert_says_what_to_do_next(planned: list[Any]) -> None:
    """Somebody is woken at night and does not know where to begin."""
    for one in of(planned, "google_monitoring_alert_policy"):
        [documentation] = one.values["documentation"]
        assert "docs/operating/alerts.md" in documentation["content"], one.address
        assert one.values["severity"] in {"WARNING", "ERROR", "CRITICAL"}
