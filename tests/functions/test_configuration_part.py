"""The configuration part: what it holds, what it must not hold, and golden questions that need nobody."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from shared.cli.main import main
from shared.delivery.release import Manifests, Release
from shared.embedded.folder import FolderStore
from shared.embedded.key_file import make_key_file
from shared.errors import PreconditionFailed, SettingsError
from shared.recovery.configuration import read_file, read_golden_answers
from shared.recovery.golden import GoldenAnswer, asked
from shared.recovery.point import PartRecord
from shared.retrieval.digest import packed
from shared.settings import Settings
from shared.wiring import backup
from shared.wiring.configuration import Extras, asking, configuration_export, golden_answers
from shared.wiring.deployed import deployed
from shared.wiring.parts import Parts
from shared.wiring.point_cipher import point_cipher
from shared.wiring.verify import manifest_of
from tests.recovery.vector_world import SPEC, reserved
from tests.recovery_points import soon

POINT = "20261101T030000Z"
PASSWORD = "pssst"
NOTHING = Extras()


@pytest.fixture
def own(stack: Settings, tmp_path: Path) -> Settings:
    make_key_file(tmp_path / "key")
    return replace(
        stack,
        backup_bucket=(tmp_path / "points").as_uri(),
        backup_key_file=str(tmp_path / "key"),
        visitor_secret=PASSWORD,
        environment="production",
    )


def cut(own: Settings, extras: Extras = NOTHING) -> PartRecord:
    with Parts(own) as parts:
        running = deployed(parts, soon(), lambda _line: None)
        return configuration_export(parts, point_cipher(own, POINT), running, extras)(POINT, "a-1", soon())


def read(own: Settings, record: PartRecord, name: str) -> bytes:
    store = FolderStore(Path(own.backup_bucket.removeprefix("file://")))
    return read_file(store, record, name, point_cipher(own, POINT), soon())


def test_settings_and_names_of_secrets_are_kept_but_no_value(own: Settings, tmp_path: Path) -> None:
    """After a loss nobody would know the settings; or a backup would give the passwords away."""
    outputs = tmp_path / "outputs.json"
    outputs.write_text(
        json.dumps({"url": {"value": "https://x"}, "key": {"value": PASSWORD, "sensitive": True}})
    )
    record = cut(own, Extras(terraform=outputs))
    everything = b"".join(
        read(own, record, entry.name.rpartition("/")[2]) for entry in record.objects
    ).decode()
    assert PASSWORD not in everything
    settings = json.loads(read(own, record, "settings.json"))
    assert (settings["visitor_secret"], settings["qdrant_alias"]) == ("(set)", "lectern-live")
    assert json.loads(read(own, record, "secrets.json"))["DATABASE_URL"]["secret"] == "lectern-database-url"
    assert json.loads(read(own, record, "terraform.json")) == {"url": "https://x"}


def test_the_release_and_the_outputs_of_terraform_come_from_the_bucket(own: Settings) -> None:
    """After the loss of a project nobody would know which image and revisions ran, and at which addresses."""
    release = Release(
        id="abc1234", commit=40 * "a", image="x@sha256:1", environment="staging", created_at=1.0
    )
    deployment = replace(own, release="abc1234", project="p")
    said: list[str] = []
    with Parts(deployment) as parts:
        assert deployed(parts, soon(), said.append).commit == "abc1234"
        assert ["release's manifest" in said[0], "Terraform's outputs" in said[1]] == [True, True]
        Manifests(parts.object_store).save(release, soon())
        outputs = {"url": {"value": "https://x"}, "key": {"value": PASSWORD, "sensitive": True}}
        parts.object_store.put("terraform/outputs.json", json.dumps(outputs).encode(), soon())
    record = cut(deployment)
    assert json.loads(read(own, record, "release.json"))["image"] == "x@sha256:1"
    assert json.loads(read(own, record, "terraform.json")) == {"url": "https://x"}
    with Parts(deployment) as parts:
        made = backup.run(replace(deployment, project=""), POINT)
        manifest = manifest_of(parts, made.point)
        for name in ("releases/abc1234.json", "terraform/outputs.json"):
            parts.object_store.delete(name, soon())
    assert (manifest.release, manifest.code_revision) == ("abc1234", 40 * "a")


def test_what_is_asked_for_too_late_or_cannot_be_had_is_refused_at_once(
    own: Settings, tmp_path: Path
) -> None:
    """An operator would believe that the backup holds the secrets, and throw the old ones away."""
    (tmp_path / "wrong.json").write_text("[1]")
    keyless = replace(own, backup_key_file="")
    for settings, extras in (
        (own, Extras(terraform=tmp_path / "wrong.json")),
        (keyless, Extras(with_secrets=True)),
    ):
        with pytest.raises(SettingsError):
            backup.run(settings, POINT, extras=extras)
    assert not list((tmp_path / "points").rglob("*.zst*")), "nothing was to be exported before that"
    backup.run(own, POINT, ("qdrant",))
    for _ in ("before the manifest", "after it"):
        with pytest.raises(PreconditionFailed, match="without values of secrets"):
            backup.run(own, POINT, extras=Extras(with_secrets=True))
        assert backup.run(own, POINT).state == "committed"
    again = Extras(with_secrets=True)
    assert [backup.run(own, "20261102T030000Z", extras=again).state for _ in range(2)] == ["committed"] * 2


@pytest.mark.parametrize("flag", ["--with-secrets", "--terraform=outputs.json"])
def test_what_goes_with_the_vectors_is_not_taken_for_the_database(flag: str) -> None:
    """A flag would be ignored without a word."""
    told = CliRunner().invoke(main, ["backup", "--part", "neon", flag])
    assert (told.exit_code, "cut with the vectors" in told.output) == (2, True)


def test_values_of_secrets_only_when_asked_for_and_only_encrypted(own: Settings, tmp_path: Path) -> None:
    """A bucket would hold passwords that anybody with a look at it can read."""
    record = cut(own, Extras(with_secrets=True))
    assert json.loads(read(own, record, "values.json"))["LECTERN_VISITOR_SECRET"] == PASSWORD
    for file in (tmp_path / "points").rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes()
    with pytest.raises(SettingsError, match="only backed up encrypted"):
        cut(replace(own, backup_key_file=""), Extras(with_secrets=True))


def test_golden_questions_are_answered_again_without_an_embedding_service(own: Settings) -> None:
    """A drill in a sealed room could not tell whether what it restored answers as before."""
    record = cut(own)
    with Parts(replace(own, embedder="none")) as parts:
        found = read_golden_answers(parts.point_store, record, point_cipher(own, POINT), soon())
        assert [one.text for one in found]
        assert all(one.vector and one.links for one in found)
        again = asked(found, asking(parts.vector_search, own.qdrant_alias, "all-MiniLM-L6-v2-int8"))
    assert (again.asked, again.same, again.differing) == (len(found), len(found), ())
    wrong = [replace_links(one) for one in found]
    with Parts(own) as parts:
        differs = asked(wrong, asking(parts.vector_search, own.qdrant_alias, "all-MiniLM-L6-v2-int8"))
    assert differs.same == 0
    assert not differs.good


def test_golden_questions_that_are_not_there_end_no_backup(own: Settings, tmp_path: Path) -> None:
    """A night's backup would be missing because a folder of questions was."""
    said: list[str] = []
    with Parts(replace(own, golden_questions=str(tmp_path / "nothing"))) as parts:
        found = golden_answers(parts, soon(), said.append)
    assert found
    assert [line for line in said if line.startswith("titles are asked in place of golden questions")]


def test_questions_are_embedded_by_the_model_of_the_index_or_it_is_said(own: Settings) -> None:
    """A drill would never ask the vectors anything, and no backup would say why."""
    said: list[str] = []
    gemini = replace(own, embedder="gemini", gemini_api_key="k")  # another one than the index was made with
    with Parts(gemini) as parts:
        assert all(one.vector for one in golden_answers(parts, soon(), said.append))
    assert said == []
    other = replace(own, qdrant_alias="strange-live")  # made with a model that is not here
    with Parts(other) as parts:
        parts.vector_admin.create("strange-g1", SPEC, soon())
        parts.vector_bulk.write("strange-g1", [packed(reserved())], soon())
        parts.vector_admin.switch_alias(other.qdrant_alias, "strange-g1", soon())
        found = golden_answers(parts, soon(), said.append)
        parts.vector_admin.drop("strange-g1", soon())
    assert found
    assert not any(one.vector for one in found)
    assert "kept without vectors" in said[0]
    assert "toy-model" in said[0]


def replace_links(answer: GoldenAnswer) -> GoldenAnswer:
    return msgspec.structs.replace(answer, links=("/docs/elsewhere",))
