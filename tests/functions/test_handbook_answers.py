"""The handbook, ingested as `make run` does it, answers its own golden questions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.ingestion.sources import read_folder
from shared.resilience.deadline import Deadline
from shared.settings import ROOT, Settings
from shared.wiring import chat, evaluate
from shared.wiring.parts import Parts
from shared.wiring.sample import BASE_URL, HANDBOOK
from tests.local_stack import filled_stack


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with filled_stack(tmp_path_factory.mktemp("handbook"), HANDBOOK) as ready:
        yield ready


def test_the_golden_questions_find_their_pages(handbook: Settings) -> None:
    """A change to ranking, chunking or the text would make the handbook harder to find things in."""
    scores = evaluate.run(handbook, ROOT / "tests" / "golden" / "handbook")
    assert scores["ndcg@10"] >= 0.85
    assert scores["recall@5"] >= 0.9
    assert scores["abstention"]["auroc"] >= 0.85


def test_a_restore_is_answered_with_a_link_that_exists(handbook: Settings) -> None:
    """An operator in trouble would be sent to a heading that is not there."""
    anchors = {
        f"{page.url}#{section.anchor}"
        for page in read_folder(HANDBOOK, BASE_URL)
        for section in page.sections
    }
    with Parts(handbook) as parts:
        asked = chat.question("how do I restore a backup?", handbook)
        answer = chat.service(parts).ask(asked, Deadline.after(30))
    assert answer.kind == "extractive"
    assert answer.citations[0].url.startswith("/docs/recovery/restore#")
    assert {citation.url for citation in answer.citations} <= anchors


def test_every_quote_is_a_verbatim_part_of_its_page(handbook: Settings) -> None:
    """A reader could not trust a quote."""
    passages: dict[str, set[str]] = {}
    for page in read_folder(HANDBOOK, BASE_URL):
        for section in page.sections:
            text = "\n\n".join(block.verbatim for block in section.blocks)
            passages.setdefault(f"{page.url}#{section.anchor}" if section.anchor else page.url, set()).add(
                text
            )
    with Parts(handbook) as parts:
        service = chat.service(parts)
        for text in (
            "Which port does it listen on?",
            "What does a generation fix?",
            "What is in the error shape?",
        ):
            answer = service.ask(chat.question(text, handbook), Deadline.after(30))
            assert answer.citations
            for citation in answer.citations:
                assert any(citation.quote in whole for whole in passages[citation.url])
