"""Golden folders and the measures of a ranking."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from shared.errors import SourceError
from shared.evaluation.evaluate import Outcome, score
from shared.evaluation.golden import GoldenQuestion, read_golden
from shared.evaluation.scores import auroc, ndcg_at, percentile, recall_at, reciprocal_rank_at

DOCS = [
    {"id": "a", "url": "https://d/a", "title": "A", "text": "# A"},
    {"id": "b", "url": "u", "title": "B", "text": "b"},
]
QUERIES: list[Any] = [
    {"id": "1", "text": "what is a?", "type": "userq", "exclude": ["b"]},
    {"id": "2", "text": "what is z?", "type": "unanswerable"},
]
QRELS = "query-id\tcorpus-id\tscore\n1\ta\t1\n1\tb\t0\n"


def write(
    folder: Path, docs: list[Any] | None = None, queries: list[Any] | None = None, qrels: str = QRELS
) -> Path:
    def lines(rows: list[Any]) -> str:
        return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)

    (folder / "docs.jsonl").write_text(lines(DOCS if docs is None else docs))
    (folder / "queries.jsonl").write_text(lines(QUERIES if queries is None else queries))
    (folder / "qrels.tsv").write_text(qrels)
    return folder


def test_a_folder_is_read(tmp_path: Path) -> None:
    """Scores would be of other questions than the folder holds."""
    golden = read_golden(write(tmp_path))
    assert [page.id for page in golden.pages] == ["a", "b"]
    assert golden.questions[0] == GoldenQuestion("1", "what is a?", "userq", frozenset({"b"}), {"a": 1})
    assert [question.scored for question in golden.questions] == [True, False]
    assert golden.urls() == {"a": "https://d/a", "b": "u"}


def test_without_documents_ids_are_addresses(tmp_path: Path) -> None:
    """A site's own questions would need a copy of the site beside them."""
    write(tmp_path, queries=[{"id": "1", "text": "q"}], qrels="1\thttps://site/x\t2\n")
    (tmp_path / "docs.jsonl").unlink()
    assert read_golden(tmp_path).questions[0].relevant == {"https://site/x": 2}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"docs": [*DOCS, "{"]}, r"docs\.jsonl, line 3.*JSON"),
        ({"docs": [DOCS[0], DOCS[0]]}, r"docs\.jsonl, line 2.*twice"),
        ({"docs": [{"id": "a"}]}, r"docs\.jsonl, line 1.*url"),
        ({"queries": [[]]}, r"queries\.jsonl, line 1.*object"),
        ({"queries": [*QUERIES, QUERIES[0]]}, r"queries\.jsonl, line 3.*twice"),
        ({"queries": [{**QUERIES[0], "exclude": "b"}]}, r"queries\.jsonl, line 1.*exclude"),
        ({"queries": [{**QUERIES[0], "exclude": ["zz"]}]}, r"queries\.jsonl, line 1.*'zz'"),
        ({"queries": [*QUERIES, {"id": "3", "text": "?"}]}, r"queries\.jsonl, line 3.*no judgement"),
        ({"queries": [{**QUERIES[0], "type": "unanswerable"}]}, r"queries\.jsonl, line 1.*judged"),
        ({"queries": QUERIES[1:]}, r"qrels\.tsv.*'1'"),
        ({"qrels": "1\ta\n"}, r"qrels\.tsv, line 1"),
        ({"qrels": QRELS + "1\tzz\t1\n"}, r"qrels\.tsv, line 4.*'zz'"),
        ({"qrels": "1\ta\tmuch\n"}, r"qrels\.tsv, line 1.*whole number"),
        ({"queries": [], "qrels": ""}, r"queries\.jsonl.*no question"),
    ],
)
def test_a_mistake_is_named_by_file_and_line(tmp_path: Path, change: dict[str, Any], where: str) -> None:
    """A typing mistake would lower the scores silently."""
    with pytest.raises(SourceError, match=where):
        read_golden(write(tmp_path, **change))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The message would be a stack trace."""
    with pytest.raises(SourceError, match="nowhere"):
        read_golden(tmp_path / "nowhere")


def test_measures_on_rankings_worked_by_hand() -> None:
    """Figures could not be compared with anybody else's."""
    ranked = ["x", "a", "y", "b"]
    relevant = {"a": 2, "b": 1, "c": 1}
    assert recall_at(ranked, relevant, 3) == pytest.approx(1 / 3)
    assert reciprocal_rank_at(ranked, relevant, 10) == 0.5
    assert reciprocal_rank_at(ranked, relevant, 1) == 0.0
    gained = 2 / math.log2(3) + 1 / math.log2(5)
    ideal = 2 + 1 / math.log2(3) + 1 / 2
    assert ndcg_at(ranked, relevant, 10) == pytest.approx(gained / ideal)
    assert auroc([3, 2], [1, 2]) == 0.875
    assert auroc([], [1]) is None
    assert (percentile([], 0.5), percentile([5, 1, 3], 0.5), percentile([5, 1, 3], 0.95)) == (0.0, 3, 5)


def test_json_has_the_documented_form() -> None:
    """Scripts that read `lectern eval --json` would break."""
    question = GoldenQuestion("1", "q", "userq", frozenset(), {"a": 1})
    other = GoldenQuestion("2", "q", "unanswerable", frozenset(), {})
    outcomes = [Outcome(question, ("b", "a"), True, 1.5, 10.0), Outcome(other, (), False, 0.5, 99.0)]
    assert score(outcomes).as_json() == {
        "recall@5": 1.0,
        "mrr@10": 0.5,
        "ndcg@10": 0.6309,
        "queries": 1,
        "latency_ms": {"p50": 10.0, "p95": 10.0},
        "abstention": {"answered": 1.0, "declined": 1.0, "auroc": 1.0},
    }
