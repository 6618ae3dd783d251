"""Neon's branches as instant restore points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from shared import errors, settings
from shared.adapters.neon.branches import NeonBranches
from shared.resilience.deadline import Deadline
from shared.wiring import backup
from tests.fakes.neon_api import FakeNeonApi

NAME, UNTIL = "lectern-20260131T030000Z", datetime(2026, 2, 7, tzinfo=UTC)


def soon() -> Deadline:
    return Deadline.after(20.0)


@pytest.fixture
def api() -> Iterator[FakeNeonApi]:
    with FakeNeonApi() as server:
        yield server


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as made:
        yield made


def test_a_branch_is_made_once(api: FakeNeonApi, client: httpx.Client) -> None:
    """Each retry of a backup would use up one of the project's branches."""
    branches = NeonBranches(client, "k", "prj", url=api.url)
    made = branches.mark(NAME, UNTIL, soon())
    assert branches.mark(NAME, UNTIL, soon()) == made
    assert api.branches[1:] == [
        {
            "id": made,
            "name": NAME,
            "parent_id": "br-main",
            "expires_at": "2026-02-07T00:00:00Z",
            "current_state": "init",
        }
    ]
    other = NeonBranches(client, "k", "prj", parent=made, url=api.url).mark("child", UNTIL, soon())
    assert api.branches[-1]["id"] == other
    assert api.branches[-1]["parent_id"] == made


def test_its_errors_are_ours(api: FakeNeonApi, client: httpx.Client) -> None:
    """A restore point that was not made would pass unnoticed, or fail without a word that helps."""
    good = NeonBranches(client, "k", "prj", url=api.url)
    wrong = {
        "NEON_API_KEY": (NeonBranches(client, "x", "prj", url=api.url), errors.AccessDenied),
        "LECTERN_NEON_PROJECT": (NeonBranches(client, "k", "no", url=api.url), errors.Missing),
        "parent branch": (NeonBranches(client, "k", "prj", "br-no", url=api.url), errors.Missing),
        "neon-api": (NeonBranches(client, "k", "prj", url="http://127.0.0.1:9"), errors.Unreachable),
    }
    for words, (branches, kind) in wrong.items():
        with pytest.raises(kind, match=words):
            branches.mark(NAME, UNTIL, soon())
    api.locked = 1
    with pytest.raises(errors.Overloaded, match="running conflicting operations"):
        good.mark(NAME, UNTIL, soon())
    api.garble = b"<html>"
    with pytest.raises(errors.Garbled):
        good.mark(NAME, UNTIL, soon())
    api.most = 1
    with pytest.raises(errors.Rejected, match=r"limit exceeded.*plan"):
        good.mark(NAME, UNTIL, soon())


def test_it_is_off_unless_a_key_and_a_project_are_named(api: FakeNeonApi) -> None:
    """A backup would call Neon's API for somebody whose database is elsewhere, or fail with the API."""
    own = replace(settings.load({}), neon_api_url=api.url)
    said: list[str] = []
    assert backup.restore_point(own, "20260131T030000Z", soon(), said.append) == ""
    assert said == []
    own = replace(own, neon_api_key="k", neon_project="prj")
    made = backup.restore_point(own, "20260131T030000Z", soon(), said.append)
    assert made == api.branches[1]["id"]
    assert made in said[0]
    api.key = "another"
    assert backup.restore_point(own, "20260201T030000Z", soon(), said.append) == ""
    assert "no Neon branch was made" in said[1]
