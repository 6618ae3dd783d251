"""Whole questions through the answering service: the real stack, and Gemini's stand-in over the wire."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shared import settings
from shared.answering.service import AnswerService
from shared.answering.steps import Finished, Started, Text
from shared.answering.writing import Stop
from shared.embedded.fake_gemini import FakeGemini, Fault, words
from shared.errors import RequestError
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.telemetry.logs import RequestLog
from shared.wiring import chat, ingest
from shared.wiring.chat import ReadersDoor
from shared.wiring.chat_api import ChatBody, PageContext, SentTurn, State
from shared.wiring.parts import Parts
from shared.wiring.stack import services
from tests.local_stack import SECONDS, write_site

STORAGE = "How cold should apples be stored?"


@pytest.fixture(scope="module")
def gemini() -> Iterator[FakeGemini]:
    with FakeGemini() as fake:
        yield fake


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, gemini: FakeGemini) -> Iterator[Settings]:
    """A stack of this module's own, with the orchard ingested and a model that writes."""
    folder = tmp_path_factory.mktemp("paths")
    own = settings.load(
        {},
        home=str(folder / "home"),
        gemini_api_key="fake-key",
        gemini_base_url=gemini.base_url,
        site_folder=str(write_site(folder / "site")),
    )
    with services(own) as made:
        ingest.run(made.settings, folder / "site", "/docs")
        yield made.settings


@pytest.fixture
def parts(ready: Settings, gemini: FakeGemini) -> Iterator[Parts]:
    gemini.faults.clear()
    with Parts(ready) as made:
        yield made


class Reader:
    """One reader of the chat function, without HTTP."""

    def __init__(self, parts: Parts, address: str = "192.0.2.1") -> None:
        self.address = address
        self.state = State(parts)
        self.settings = parts.settings
        self.service: AnswerService = chat.service(parts)

    def ask(self, question: str, **body: object) -> Finished:
        *_, last = self.steps(question, **body)
        assert isinstance(last, Finished)
        return last

    def steps(self, question: str, **body: object) -> list[object]:
        caller = self.state.admission.admit({}, self.address, Deadline.after(SECONDS))
        door = ReadersDoor(self.state, caller, RequestLog(), database=True)
        asked = chat.question_of(ChatBody(question, **body), self.settings)
        return list(self.service.steps(asked, Deadline.after(SECONDS), door, Stop()))


def test_a_generated_answer_is_proven_cited_and_recorded(parts: Parts) -> None:
    """A reader would see a model's text without knowing where it comes from."""
    steps = Reader(parts).steps("How cold should apples be kept in store?")
    assert isinstance(steps[0], Started)
    assert any(isinstance(step, Text) for step in steps)
    answer = steps[-1].answer
    assert (answer.kind, answer.rung, answer.recorded) == ("generated", "hybrid", True)
    assert answer.citations[0].url == "/docs/apples/picking#how-to-store"
    assert "[1]" in answer.answer
    assert parts.answer_log.detail(answer.answer_id, Deadline.after(SECONDS))["answer"] == answer.answer


def test_the_same_question_is_paid_for_once(parts: Parts, gemini: FakeGemini) -> None:
    """Every reader's first question about a page would be paid for again."""
    first = Reader(parts).ask(STORAGE)
    before = len(gemini.seen)
    again = Reader(parts).ask(f"  {STORAGE.upper()} ")
    assert (first.answer.writer, again.answer.writer) == ("gemini-3.5-flash-lite", "cache")
    assert again.answer.answer == first.answer.answer
    assert again.answer.answer_id != first.answer.answer_id
    assert again.answer.recorded
    assert (again.cost_usd, len(gemini.seen)) == (0.0, before)


def test_the_first_question_of_a_conversation_may_be_anybodys(parts: Parts) -> None:
    """A widget names a conversation in every question: nothing would ever be taken from the cache."""
    asked = "What must apples never be stored beside?"
    first = Reader(parts).ask(asked, conversation_id="conversation-000a").answer
    other = Reader(parts).ask(asked, conversation_id="conversation-000b").answer
    later = Reader(parts).ask(asked, conversation_id="conversation-000b").answer
    assert (first.writer == "cache", other.writer, later.writer == "cache") == (False, "cache", False)


def test_a_release_asks_without_a_trace(parts: Parts) -> None:
    """A candidate would pass with answers that stable wrote, or its own wrong ones would stay behind for
    readers.
    """
    asked = "How many days do Conference pears take to ripen?"
    Reader(parts).ask(asked)
    probe = Reader(parts)
    question = replace(chat.question_of(ChatBody(asked), parts.settings), unkept=True)
    caller = probe.state.admission.admit({}, probe.address, Deadline.after(SECONDS))
    door = ReadersDoor(probe.state, caller, RequestLog(), database=True)
    *_, last = probe.service.steps(question, Deadline.after(SECONDS), door, Stop())
    assert isinstance(last, Finished)
    assert (last.answer.writer, last.answer.recorded, last.cost_usd > 0) == (
        "gemini-3.5-flash-lite",
        False,
        True,
    )
    assert parts.answer_log.detail(last.answer.answer_id, Deadline.after(SECONDS)) is None


def test_releases_do_not_share_answers(parts: Parts, ready: Settings) -> None:
    """A release that was taken back would go on answering, from the cache."""
    asked = "Which way should the entrance of a hive be turned?"
    Reader(parts).ask(asked)
    with Parts(replace(ready, release="abc1234")) as other:
        answers = [Reader(other).ask(asked).answer.writer for _ in range(2)]
    assert answers == ["gemini-3.5-flash-lite", "cache"]
    assert Reader(parts).ask(asked).answer.writer == "cache"


def test_a_page_that_changes_takes_its_cached_answers_along(parts: Parts, ready: Settings) -> None:
    """Readers would be told the old temperature for as long as the cache lives."""
    site = Path(ready.site_folder)
    page = site / "apples" / "picking.md"
    shutil.copy(page, page.with_suffix(".kept"))
    Reader(parts).ask("At how many degrees are apples stored?")
    page.write_text(page.read_text().replace("at 3 degrees", "at 5 degrees"))
    try:
        ingest.run(ready, site, "/docs")
        answer = Reader(parts).ask("At how many degrees are apples stored?").answer
    finally:
        page.with_suffix(".kept").replace(page)
        ingest.run(ready, site, "/docs")
    assert answer.writer != "cache"
    assert "5 degrees" in answer.answer


def test_a_follow_up_is_understood_from_what_was_said(parts: Parts) -> None:
    """A question such as "and how long?" would be searched for as it stands."""
    named = "conversation-0001"
    Reader(parts).ask("How do Conference pears ripen?", conversation_id=named)
    stored = Reader(parts).ask("How many days does it take for them?", conversation_id=named).answer
    assert stored.citations[0].url == "/docs/pears#ripening"
    turns = (SentTurn("user", "How do Conference pears ripen?"), SentTurn("model", "Off the tree."))
    sent = Reader(parts).ask("How many days does it take for them?", turns=turns).answer
    assert sent.citations[0].url == "/docs/pears#ripening"


def test_the_second_model_writes_when_the_first_cannot(parts: Parts, gemini: FakeGemini) -> None:
    """One model's outage would turn every answer into quotes."""
    reader = Reader(parts)
    reader.ask("warm the way to vectors and database")
    gemini.faults.next(Fault(), Fault(status=503))
    answer = reader.ask("Where must apples never be stored beside?").answer
    assert (answer.kind, answer.writer) == ("generated", "gemini-2.5-flash-lite")
    assert "gemini-3.5-flash-lite: overloaded" in answer.degraded


def test_a_stream_that_breaks_leaves_what_was_proven(parts: Parts, gemini: FakeGemini) -> None:
    """A reader would lose the sentences already read, or see an unproven rest."""
    reader = Reader(parts)
    gemini.faults.next(Fault(), Fault(cut_after=1), Fault(cut_after=1))
    answer = reader.ask("When is a Bramley picked, and how?").answer
    assert answer.kind in {"generated", "extractive"}
    assert any("interrupted" in reason for reason in answer.degraded)
    assert answer.citations[0].url == "/docs/apples/picking#when-to-pick"


def test_over_the_cap_answers_are_quotes_and_cost_nothing(ready: Settings, gemini: FakeGemini) -> None:
    """A busy day would send the bill up without end."""
    gemini.faults.clear()
    with Parts(replace(ready, spend_cap_usd_day=0.0000001)) as parts:
        reader = Reader(parts)
        reader.state.admission.meter.add(1.0)
        done = reader.ask("How do I sell pears at the gate?")
    assert (done.answer.kind, done.answer.writer, done.cost_usd) == ("extractive", "passages", 0.0)
    assert any("cap" in reason or "spen" in reason for reason in done.answer.degraded)


def refusal(reader: Reader) -> RequestError:
    """What a reader gets who asks too often."""
    for _ in range(6):
        try:
            reader.ask("How do I sell pears at the gate?")
        except RequestError as error:
            return error
    raise AssertionError("nothing was refused")


def test_the_limit_holds_and_says_when_to_come_back(ready: Settings) -> None:
    """One visitor could use up everybody's budget."""
    with Parts(replace(ready, rate_limit_requests=2)) as parts:
        reader = Reader(parts, "192.0.2.2")
        caught = refusal(reader)
    assert caught.status == 429
    assert int(caught.headers["Retry-After"]) >= 1


def test_a_reader_of_another_version_still_finds_pages_without_versions(parts: Parts) -> None:
    """A site without versions would answer nobody whose page names one."""
    page = PageContext(url="https://x.example/docs/pears", version="2.0", locale="en")
    answer = Reader(parts).ask("Are pears sold by weight at the gate?", page=page).answer
    assert answer.citations[0].url.startswith("/docs/pears")


def test_what_the_model_invents_is_not_shown(ready: Settings) -> None:
    """A reader would be told what the documentation never said."""
    lie = words.saying("Apples are stored at 40 degrees in the `hot_room` [1].")
    with FakeGemini(writer=lie) as liar, Parts(replace(ready, gemini_base_url=liar.base_url)) as parts:
        done = Reader(parts).ask("How should apples be stored in autumn?")
    assert done.answer.kind == "extractive"
    assert "40 degrees" not in done.answer.answer
    assert sum(done.dropped.values()) > 0
