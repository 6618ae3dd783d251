"""``cloudbuild.yaml``, run step by step on this machine: a push that is good, one that is bad, a promotion.

Replaced, because they need a container engine or repeat the tests: see ``REPLACED``. Every other step runs as
it stands there.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
import yaml

from shared.delivery.release import RELEASED, Manifests, Release
from shared.embedded.folder import FolderStore
from shared.resilience.deadline import Deadline
from shared.settings import ROOT, declarations
from tests.delivery import variants
from tests.delivery.cloudbuild import CloudBuild, Mistake, Replaced, programs
from tests.delivery.place import BUCKET, CANARY, Built, Place, Readers

FILE = ROOT / "cloudbuild.yaml"
QUICK = {**CANARY, "steps": [50, 100], "step_seconds": 1, "questions": 10}


def replaced(workspace: Path, built: Built) -> dict[str, Replaced]:
    """How each step is done that cannot be done here as it stands."""

    def nothing(_values: Mapping[str, str]) -> int:
        return 0

    def image(_values: Mapping[str, str]) -> int:
        (workspace / ".image").write_text(built.image + "\n", encoding="utf-8")
        return 0

    def tools(_values: Mapping[str, str]) -> int:
        python = workspace / ".release" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
        python.chmod(0o755)
        return 0

    return {
        "test": Replaced("this suite is that step", nothing),
        "audit": Replaced("asks a service outside", nothing),
        "build": Replaced(
            "the buildpack needs a container engine; the image is the source tree itself", nothing
        ),
        "push": Replaced("the tree is known to this registry by the digest of its files", image),
        "tools": Replaced("the packages are those of the tests' environment", tools),
    }


def build(place: Place, built: Built, tmp_path: Path, **given: str) -> CloudBuild:
    """A build of a commit whose sources are the tree of ``built``."""
    workspace = tmp_path / f"workspace-{built.commit[:7]}-{len(list(tmp_path.iterdir()))}"
    shutil.copytree(built.tree, workspace, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(FILE, workspace)
    shutil.copytree(place.folder / "golden", workspace / "golden")
    substitutions = {
        "PROJECT_ID": place.run.project,
        "COMMIT_SHA": built.commit,
        "SHORT_SHA": built.commit[:7],
        "_ENVIRONMENT": "staging",
        "_REGION": place.run.region,
        "_DATA_BUCKET": BUCKET,
        "_SITE": "",
        "_GOLDEN": "golden",
        **given,
    }
    return CloudBuild(
        workspace / "cloudbuild.yaml",
        workspace,
        {"PATH": place.environment(built)["PATH"], **place.gcloud_settings()},
        substitutions,
        {"DATABASE_URL": place.ready.database_url, "QDRANT_API_KEY": ""},
        replaced(workspace, built),
    )


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_a_push_becomes_a_release_or_is_taken_back(somewhere: Place, base: Built, tmp_path: Path) -> None:
    """The file would name commands, variables or secrets that are not there, and nobody would know before a
    push; or wrong answers would stop no release as it ships.
    """
    somewhere.canary = QUICK
    somewhere.golden = yaml.safe_load((ROOT / "config" / "staging.yaml").read_text())["golden_questions"]
    good, bad = somewhere.build(variants.GOOD), somewhere.build(variants.WRONG)
    somewhere.canary, somewhere.golden = dict(CANARY), ""
    with Readers(somewhere.run.url("lectern-chat")) as readers:
        first = build(somewhere, good, tmp_path)
        assert first.run(), first.report() + first.runs[-1].said
        print("\n" + first.report())
        assert somewhere.one_set() == good.commit[:7]
        second = build(somewhere, bad, tmp_path)
        assert not second.run()
    print("\n" + second.report())
    assert second.runs[-1].id == "smoke", second.report()
    assert "is worse than stable at its tag" in second.runs[-1].said
    assert "answers to golden questions wrong" in second.runs[-1].said
    assert somewhere.one_set() == good.commit[:7]
    assert readers.failed() == 0


@pytest.mark.e2e
@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_promotion_takes_the_same_digest(somewhere: Place, base: Built, tmp_path: Path) -> None:
    """Production would get another image than the one that staging proved, or one that staging took back."""
    somewhere.canary = QUICK
    proved = somewhere.build(variants.GOOD)
    somewhere.canary = dict(CANARY)
    elsewhere = Manifests(FolderStore(tmp_path / "elsewhere"))
    made = Release(
        id=proved.commit[:7], commit=proved.commit, image=proved.image, environment="staging", created_at=1.0
    )
    words = ("release", "promote", made.id, "--from", f"file://{tmp_path / 'elsewhere'}")
    elsewhere.save(made, Deadline.after(5))
    refused = somewhere.lectern(proved, *words)
    assert (refused.code, "must be released there" in refused.err) == (1, True)
    elsewhere.save(msgspec.structs.replace(made, state=RELEASED), Deadline.after(5))
    done = somewhere.lectern(proved, *words)
    assert done.code == 0, done.err
    assert somewhere.one_set() == made.id
    revision = somewhere.run.store.revision(f"lectern-drill-{made.id}")
    assert revision.template["containers"][0]["image"] == proved.image


def test_the_tests_of_a_build_meet_no_service(tmp_path: Path) -> None:
    """Every build would end in its tests, or these would write into staging's bucket."""
    made = CloudBuild(
        FILE, tmp_path, {"PATH": "/usr/bin"}, secrets={"DATABASE_URL": "d", "QDRANT_API_KEY": "q"}
    )
    chosen = set(made.environment_of("test")) & {one.env for one in declarations()}
    assert not chosen
    for step in made.build["steps"]:
        if "shared.cli.main" in step["script"]:
            given = made.environment_of(step["id"])
            assert (given.get("LECTERN_ENV"), given.get("PYTHONPATH")) == ("staging", str(tmp_path)), step[
                "id"
            ]


@pytest.mark.parametrize(
    ("there", "asked"), [(False, ["pull", "push", "inspect"]), (True, ["pull", "inspect"])]
)
def test_an_image_is_pushed_once(tmp_path: Path, there: bool, asked: list[str]) -> None:
    """The same commit, built again, would release an image that nobody tried in its place."""
    diary = tmp_path / "diary"
    docker = f'echo "$1" >> {diary}; test "$1" != pull || exit {int(not there)}; echo name@sha256:0'
    path = f"{programs(tmp_path / 'bin', docker=docker)}:/usr/bin:/bin"
    made = CloudBuild(FILE, tmp_path, {"PATH": path}, {"SHORT_SHA": "abc1234"})
    assert made.run_step("push").code == 0
    assert diary.read_text(encoding="utf-8").split() == asked
    assert (tmp_path / ".image").read_text(encoding="utf-8") == "name@sha256:0\n"


@pytest.mark.parametrize(("version", "code", "said"), [("1", 0, "migrated"), ("2", 1, "terraform apply")])
def test_a_build_migrates_with_the_version_that_is_pinned(
    tmp_path: Path, version: str, code: int, said: str
) -> None:
    """Somebody raised the version without an apply: one database would be migrated, readers be on another."""
    tools = f'case "$*" in *migrate) echo migrated;; *) PYTHONPATH={ROOT} exec {sys.executable} "$@";; esac'
    programs(tmp_path / ".release" / "bin", python=tools)
    given = {"_DATABASE_SECRET": f"lectern-database-url/versions/{version}"}
    made = CloudBuild(FILE, tmp_path, {"PATH": "/usr/bin:/bin"}, given, {"DATABASE_URL": "postgresql://h/d"})
    done = made.run_step("migrate")
    assert (done.code, said in done.said) == (code, True), done.said


@pytest.mark.parametrize("static", ["", "docs-static"])
def test_the_site_is_copied_to_every_place_that_serves_it(tmp_path: Path, static: str) -> None:
    """The load balancer would serve an empty bucket for ever."""
    diary = tmp_path / "diary"
    gcloud = f'echo "$@" >> {diary}'
    path = f"{programs(tmp_path / 'bin', gcloud=gcloud)}:/usr/bin:/bin"
    made = CloudBuild(FILE, tmp_path, {"PATH": path}, {"_DATA_BUCKET": "data", "_STATIC_BUCKET": static})
    assert made.run_step("publish").code == 0
    copied = [line.split()[:4] for line in diary.read_text(encoding="utf-8").splitlines()]
    places = ["gs://data/site", *([f"gs://{static}"] if static else [])]
    assert copied == [["storage", "rsync", "site/build", place] for place in places]


STEP = "steps:\n  - id: one\n    name: python:3\n    {more}\n"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("args: [$_NOWHERE]", "one: substitution $_NOWHERE is not defined"),
        ("waitFor: [two]", "one: it waits for 'two', which is no earlier step"),
        ("secretEnv: [KEY]", "one: secret KEY is not among availableSecrets"),
        ("script: 'true'\n    args: [x]", "one: script excludes args and entrypoint"),
    ],
)
def test_mistakes_that_the_schema_does_not_see(tmp_path: Path, more: str, said: str) -> None:
    """A push would fail after ten minutes for a name that is not there."""
    file = tmp_path / "cloudbuild.yaml"
    file.write_text(STEP.format(more=more), encoding="utf-8")
    with pytest.raises(Mistake, match="one: ") as caught:
        CloudBuild(file, tmp_path, {})
    assert str(caught.value) == said


def test_steps_run_one_after_the_other_until_one_fails(tmp_path: Path) -> None:
    """The runner would go on after a failure, and prove nothing."""
    file = tmp_path / "cloudbuild.yaml"
    file.write_text(
        """
substitutions: {_A: "x-${_B}", _B: y}
steps:
  - {id: first, name: gcr.io/any/image, entrypoint: sh, args: ["-c", "echo $_A $$HOME > /workspace/said"]}
  - {id: wrong, name: gcr.io/any/image, script: "exit 3"}
  - {id: never, name: gcr.io/any/image, script: "touch /workspace/never"}
""",
        encoding="utf-8",
    )
    made = CloudBuild(file, tmp_path, {"PATH": "/usr/bin:/bin"})
    assert not made.run()
    assert [(one.id, one.code) for one in made.runs] == [("first", 0), ("wrong", 3)]
    assert (tmp_path / "said").read_text(encoding="utf-8") == f"x-y {tmp_path}/.home\n"
    assert not (tmp_path / "never").exists()
