"""The schedules of this deployment: Cloud Scheduler's where a project is named, else none."""

from __future__ import annotations

from collections.abc import Callable

from shared.ports.schedules import Schedules
from shared.settings import Settings


def schedules(settings: Settings) -> tuple[Schedules | None, Callable[[], None]]:
    """Who starts things by the clock (None: nobody does), and how to close it."""
    if not settings.project:
        return None, lambda: None
    from shared.adapters.scheduler import CloudSchedules

    made = CloudSchedules(settings.project, settings.region, endpoint=settings.scheduler_endpoint)
    return made, made.close
