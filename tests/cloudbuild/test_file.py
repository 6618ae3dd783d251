"""cloudbuild.yaml read closely: what neither its schema nor gcloud notices."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from pathspec import GitIgnoreSpec

from shared.cli.main import main
from shared.delivery.platform import ENVIRONMENTS
from shared.delivery.platform_file import load_platform
from shared.delivery.template import JOB_COMMAND
from shared.evaluation.golden import read_golden

ROOT = Path(__file__).resolve().parents[2]
BUILD: dict[str, Any] = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
STEPS: list[dict[str, Any]] = BUILD["steps"]
BUILT_IN = {"PROJECT_ID", "PROJECT_NUMBER", "BUILD_ID", "COMMIT_SHA", "SHORT_SHA", "LOCATION"}
_VARIABLE = re.compile(r"\$\{?(_?[A-Z][A-Z_]*)")
_LECTERN = re.compile(r"shared\.cli\.main ((?:[a-z]+ ?)+)(.*)")
every_step = pytest.mark.parametrize("step", STEPS, ids=lambda step: step["id"])


def test_the_steps_are_those_of_a_release_in_their_order() -> None:
    """Readers would meet a candidate before it was tested, or a schema after the code that needs it."""
    names = [step["id"] for step in STEPS]
    wanted = ["test", "audit", "build", "push", "migrate", "deploy", "smoke", "canary", "finish"]
    assert [name for name in names if name in wanted] == wanted
    after = {step["id"]: ancestors(step["id"]) for step in STEPS}
    for first, second in pairwise(wanted):
        assert first in after[second], f"{second} does not wait for {first}"
    assert {"finish", "site"} <= after["ingest"]
    assert "test" in after["golden"]
    assert "golden" in after["promote"] & after["deploy"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_golden_questions_are_where_a_release_looks_for_them(environment: str) -> None:
    """Wrong answers would stop no release as it ships: nobody asks, or about pages of another site."""
    content = yaml.safe_load((ROOT / "config" / f"{environment}.yaml").read_text())
    [step] = [step for step in STEPS if step["id"] == "golden"]
    found = re.search(r'rsync "\$_GOLDEN" "(gs://\S+)"', step["script"])
    assert found
    bucket = content["storage_bucket"].removeprefix("gs://")
    assert found[1].replace("$_DATA_BUCKET", bucket) == content["golden_questions"]
    golden = read_golden(ROOT / BUILD["substitutions"]["_GOLDEN"])
    pages = [
        f"/docs/{path.relative_to(ROOT / 'docs').with_suffix('')}" for path in (ROOT / "docs").rglob("*.md")
    ]
    # As the published site names its pages: with a host, which the questions leave open.
    published = [f"https://docs.example.com{page.removesuffix('/index')}" for page in pages]
    judged = [one for one in golden.questions if one.relevant]
    assert len(judged) >= 20
    assert all(any(map(one.answered_by, published)) for one in judged)


def ancestors(name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        [step] = [one for one in STEPS if one["id"] == current]
        for before in step.get("waitFor", []):
            if before != "-" and before not in found:
                found.add(before)
                waiting.append(before)
    return found


@every_step
def test_a_step_waits_only_for_earlier_ones(step: dict[str, Any]) -> None:
    """Cloud Build refuses the file only when it is submitted."""
    earlier = [one["id"] for one in STEPS[: STEPS.index(step)]]
    assert set(step.get("waitFor", [])) <= {"-", *earlier}
    assert not {"args", "entrypoint"} & set(step), "script excludes both"


@every_step
def test_a_script_is_one(step: dict[str, Any], tmp_path: Path) -> None:
    """A quote too few would be met in the middle of a release."""
    file = tmp_path / "script"
    file.write_text(step["script"])
    shell = "bash" if "bash" in step["script"].splitlines()[0] else "sh"
    done = subprocess.run([shell, "-n", file], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^set -eu", step["script"], re.MULTILINE), "it would go on after a failure"


@every_step
def test_a_variable_is_defined(step: dict[str, Any]) -> None:
    """An empty variable would name another image, or the bucket of nobody."""
    own = set(re.findall(r"^\s*(\w+)=", step["script"], re.MULTILINE))
    used = set(_VARIABLE.findall(step["script"])) - own
    assert used <= BUILT_IN | set(BUILD["substitutions"]), step["id"]


def test_secrets_are_given_to_the_steps_that_need_them_alone() -> None:
    """A test or a package's install script could read the database's password."""
    known = {one["env"] for one in BUILD["availableSecrets"]["secretManager"]}
    holders = {step["id"] for step in STEPS if step.get("secretEnv")}
    assert holders == {"migrate", "promote", "deploy", "smoke", "canary", "finish"}
    for step in STEPS:
        assert set(step.get("secretEnv", [])) <= known


def test_a_build_reads_the_versions_that_the_configuration_pins() -> None:
    """Migrations would go to another database than the one that readers' revisions are on."""
    staging = load_platform("staging", ROOT / "config").secrets
    for one in BUILD["availableSecrets"]["secretManager"]:
        [name] = re.fullmatch(r"projects/\$\{PROJECT_ID\}/secrets/\$\{(\w+)\}", one["versionName"]).groups()
        pinned = staging[one["env"]]
        assert BUILD["substitutions"][name] == f"{pinned.secret}/versions/{pinned.version}"
        assert f"{name}=" in (ROOT / "docs/operating/deploy.md").read_text(), "a release by hand"


@every_step
def test_commands_of_lectern_exist(step: dict[str, Any]) -> None:
    """A release would end at an option that the command line does not have."""
    for line in step["script"].replace("\\\n", " ").splitlines():
        if (found := _LECTERN.search(line)) is None:
            continue
        command: click.Command = main
        for name in found[1].split():
            assert isinstance(command, click.Group)
            one = command.get_command(click.Context(command), name)
            assert one is not None, f"there is no {name}"
            command = one
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", found[2])) <= options, line


@every_step
def test_a_promotion_builds_nothing(step: dict[str, Any]) -> None:
    """Production would get an image that nobody tried in staging."""
    checks_first = 'if [ -n "$_PROMOTE" ]; then' in step["script"]
    assert checks_first == (
        step["id"] in {"test", "audit", "build", "push", "deploy", "smoke", "canary", "finish"}
    )


def test_terraform_sets_only_substitutions_that_there_are() -> None:
    """The trigger's region or bucket would go nowhere, and the build would use staging's."""
    text = (ROOT / "terraform" / "modules" / "cicd" / "main.tf").read_text()
    given = set(re.findall(r"^\s*(_[A-Z_]+)\s*=", text, re.MULTILINE))
    assert given
    assert given <= set(BUILD["substitutions"])


def test_the_image_is_described() -> None:
    """The buildpack would look for a main.py, or build for another Python."""
    described = tomllib.loads((ROOT / "project.toml").read_text())
    given = {one["name"]: one["value"] for one in described["io"]["buildpacks"]["build"]["env"]}
    source, target = given["GOOGLE_FUNCTION_SOURCE"], given["GOOGLE_FUNCTION_TARGET"]
    assert f"def {target}(" in (ROOT / source).read_text()
    assert given["GOOGLE_RUNTIME_VERSION"].startswith("3.13")


def test_the_image_holds_nothing_that_the_build_wrote() -> None:
    """Each image would carry a second copy of every package: steps share the folder that it is made of."""
    described = tomllib.loads((ROOT / "project.toml").read_text())
    excluded = GitIgnoreSpec.from_lines(described["io"]["buildpacks"]["exclude"])
    by_steps = {name for step in STEPS for name in re.findall(r"/workspace/([\w.-]+)", step["script"])}
    # What the tests and the audit leave: the file that lists it for gcloud lists it for the image.
    lines = (ROOT / ".gcloudignore").read_text().splitlines()
    by_tools = {line.replace("*", "x") for line in lines if line and line[0] != "#"}
    assert {".image", ".release"} <= by_steps
    for name in (*by_steps, *by_tools):
        folder = f"{name.rstrip('/')}/lib/one.py"
        assert excluded.match_file(folder), name
    assert not excluded.match_file("functions/chat.py")
    assert not excluded.match_file("config/staging.yaml")


def test_what_releases_is_set_up_after_the_build() -> None:
    """The check of the code would go through every package that the other step is just writing."""
    assert {"test", "build"} <= ancestors("tools")


def test_terraform_and_a_release_start_jobs_the_same_way() -> None:
    """A job's first version would not find python: a buildpack's image needs its launcher."""
    text = (ROOT / "terraform" / "modules" / "job" / "main.tf").read_text()
    assert json.dumps(list(JOB_COMMAND)) in text
