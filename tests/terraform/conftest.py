"""One workspace, one stub provider and one plan of each environment for the whole folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.terraform.stub.server import serving
from tests.terraform.workspace import ENVIRONMENTS, Workspace, lay_out


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("tf")
    with serving(folder) as environ:
        made = lay_out(folder, environ)
        made.timed = True
        made.must("init", "-input=false")
        yield made


@pytest.fixture(scope="session")
def plans(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """The plan of each environment, as JSON."""
    return {name: workspace.plan(*variables) for name, variables in ENVIRONMENTS.items()}
