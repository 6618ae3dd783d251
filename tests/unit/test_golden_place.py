"""Where the site's golden questions come from: a folder, or a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared import settings
from shared.errors import SourceError
from shared.evaluation.golden import read_golden
from shared.resilience.deadline import Deadline
from shared.settings import ROOT
from shared.wiring.golden import site_questions
from shared.wiring.parts import Parts
from tests.fakes.gcs import FakeGcs

HANDBOOK = ROOT / "tests" / "golden" / "handbook"


def asked(place: str, **more: str):
    with Parts(settings.load({}, golden_questions=place, **more)) as parts:
        return site_questions(parts, Deadline.after(20))


def test_a_folder_and_a_bucket_give_the_same_questions() -> None:
    """The gate on Google Cloud would ask other questions than a developer sees."""
    wanted = read_golden(HANDBOOK)
    with FakeGcs() as fake:
        own = {"storage_endpoint": fake.endpoint, "storage_bucket": f"gs://{fake.bucket.name}"}
        with Parts(settings.load({}, **own)) as parts:
            for file in HANDBOOK.iterdir():
                name = f"golden/handbook/{file.name}"
                parts.object_store.put(name, file.read_bytes(), Deadline.after(20))
        found = asked(f"gs://{fake.bucket.name}/golden/handbook/", **own)
        with pytest.raises(SourceError, match=r"no queries\.jsonl at gs://.*/elsewhere"):
            asked(f"gs://{fake.bucket.name}/elsewhere", **own)
    assert found == wanted
    assert asked(str(HANDBOOK)) == wanted


def test_no_place_means_no_questions() -> None:
    """A site without golden questions could not be ingested."""
    assert asked("") is None


def test_questions_about_other_documents_are_refused(tmp_path: Path) -> None:
    """A new generation would be judged by questions about another site."""
    (tmp_path / "docs.jsonl").write_text('{"id": "a", "url": "/a", "title": "A", "text": "a"}\n')
    (tmp_path / "queries.jsonl").write_text('{"id": "q", "text": "a?"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
    with pytest.raises(SourceError, match="documents of their own"):
        asked(str(tmp_path))
