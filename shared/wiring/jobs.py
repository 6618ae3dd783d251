"""Long work: Cloud Run's jobs where a project is named, else child processes of this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from shared import settings as settings_module
from shared.ports import Jobs
from shared.settings import Settings

COMMAND = (sys.executable, "-m", "shared.cli.main")
"""What every task runs, before its arguments."""


def jobs(settings: Settings) -> tuple[Jobs, Callable[[], None]]:
    """Who starts jobs, and how to close it."""
    if settings.project:
        from shared.adapters.cloud_run import CloudRunJobs

        cloud = CloudRunJobs(settings.project, settings.region, endpoint=settings.cloud_run_endpoint)
        return cloud, cloud.close
    from shared.embedded.jobs import LocalJobs

    local = LocalJobs(Path(settings.home, "jobs"), COMMAND, settings_module.environment(settings))
    return local, lambda: None
