"""Every figure that alerts and dashboards may use: what the code logs, and what Google Cloud counts.

A :class:`Measure` is written by :meth:`shared.telemetry.logs.Logger.measure` as one log line, whatever the
log level. Terraform makes a log-based metric of the same name from those lines
(``terraform/modules/monitoring``): ``logging.googleapis.com/user/<name>``. Log-based metrics are
distributions, so a gauge is read as the largest value of a window. A test compares Terraform's references
with this table.

Add a row here, a call of ``measure`` where the figure is known, and, if somebody is to be woken, an alert.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure. ``unit`` is a UCUM code (``s``, ``1``, ``{USD}``); ``labels`` are the names that a line
    carries beside the value, each with few values.
    """

    name: str
    unit: str
    says: str
    labels: tuple[str, ...] = ()


FIRST_TOKEN = Measure(
    name="lectern_first_token_seconds",
    unit="s",
    says="Time from a question to the first words of its answer; their number is that of the answers.",
    labels=("kind", "search", "writing"),
)
RECOVERY_POINT_AGE = Measure(
    name="lectern_recovery_point_age_seconds",
    unit="s",
    says="Age of the newest complete recovery point.",
)
DRILL_AGE = Measure(
    name="lectern_drill_age_seconds",
    unit="s",
    says="Age of the last drill that restored and verified a point.",
)
SPEND_MONTH = Measure(
    name="lectern_spend_usd_month",
    unit="{USD}",
    says="What language models cost since the month began (UTC).",
)

MEASURES = (FIRST_TOKEN, RECOVERY_POINT_AGE, DRILL_AGE, SPEND_MONTH)

PLATFORM = (
    "run.googleapis.com/request_count",
    "run.googleapis.com/request_latencies",
    "run.googleapis.com/container/instance_count",
    "run.googleapis.com/container/memory/utilizations",
    "run.googleapis.com/container/startup_latencies",
    "run.googleapis.com/job/completed_execution_count",
    "monitoring.googleapis.com/uptime_check/check_passed",
)
"""Metrics that Google Cloud itself provides and that alerts or the dashboard use.

Source: Cloud Monitoring, "Google Cloud metrics", lists for run and monitoring.
"""
