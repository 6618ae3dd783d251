"""A change of the embedding model, as instances of chat with the old setting and with the new one meet it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shared import settings
from shared.embedded.fake_gemini import FakeGemini
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring import chat, ingest
from shared.wiring.parts import Parts
from shared.wiring.stack import services
from tests.local_stack import SECONDS, write_site


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with FakeGemini() as fake:
        own = settings.load(
            {"GEMINI_API_KEY": "fake-key"},
            home=str(tmp_path_factory.mktemp("change")),
            gemini_base_url=fake.base_url,
            gemini_embedding_dimensions=128,
            generator="none",
            cache_seconds=0.0,
        )
        with services(own, share=False) as ready:
            yield ready.settings


def rung(own: Settings) -> tuple[str, tuple[str, ...], str]:
    with Parts(own) as parts:
        question = chat.question("How cold should apples be stored?", own)
        answer = chat.service(parts).ask(question, Deadline.after(SECONDS))
    return answer.rung, answer.degraded, answer.generation


def test_every_instance_asks_with_the_model_of_the_live_generation(stack: Settings, tmp_path: Path) -> None:
    """While a change is under way, readers would be answered by words alone, or from wrong vectors."""
    site = write_site(tmp_path / "site")
    before, after = stack, replace(stack, gemini_embedding_dimensions=256)
    assert ingest.run(before, site, "/docs").generation == "g0001"
    assert [rung(own) for own in (before, after)] == [("hybrid", (), "g0001")] * 2
    report = ingest.run(after, site, "/docs")
    assert report.generation == "g0002"
    assert report.embedded > 0
    assert report.usd == pytest.approx(report.tokens * 0.15 / 1e6, abs=1e-6)
    assert [rung(own) for own in (before, after)] == [("hybrid", (), "g0002")] * 2
