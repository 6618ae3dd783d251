"""A faithful local server for Cloud Storage's JSON API."""

from tests.fakes.gcs.faults import Faults
from tests.fakes.gcs.server import FakeGcs

__all__ = ["FakeGcs", "Faults"]
