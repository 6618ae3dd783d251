"""A faithful local Cloud Run: jobs, whose tasks are real child processes."""

from tests.fakes.cloud_run.errors import RunError
from tests.fakes.cloud_run.jobs import JobsState
from tests.fakes.cloud_run.server import FakeCloudRun

__all__ = ["FakeCloudRun", "JobsState", "RunError"]
