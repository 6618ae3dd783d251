"""Questions to start with: what a reader is offered, made of headings alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.answering.suggestions import choose, matching
from shared.ingestion.questions import LONGEST, question_of
from shared.ingestion.suggestions import PAGES, QUESTIONS, Suggester
from shared.ports.suggestions import PageOutline, SuggestedQuestion, SuggestionSet
from shared.retrieval.sections import sections_of


@pytest.mark.parametrize(
    ("heading", "question"),
    [
        ("How do I add a page?", "How do I add a page?"),
        ("What is a generation", "What is a generation?"),
        ("How to install", "How do I install?"),
        ("When to pick", "When do I pick?"),
        ("Restore a backup", "How do I restore a backup?"),
        ("Restoring a backup", "How do I restore a backup?"),
        ("Setting up Neon", "How do I set up Neon?"),
        ("1. Install the `plugin`", "How do I install the plugin?"),
        ("Use `createSlice`", "How do I use createSlice?"),
        ("Release a version:", "How do I release a version?"),
    ],
)
def test_a_heading_that_asks_or_tells_is_a_question(heading: str, question: str) -> None:
    """Readers would be offered nothing, or a text that nobody would ask."""
    assert question_of(heading) == question


@pytest.mark.parametrize(
    "heading",
    [
        *("Limits", "Release notes", "Use cases", "Load balancing", "Restore", "API", "?", "", "x" * 200),
        *("Where a value comes from", "What the counts mean", "How sources are read", "How long it is kept"),
        "Keeping and testing backups",
    ],
)
def test_a_heading_that_names_a_thing_is_none(heading: str) -> None:
    """Readers would be asked whether they want to know "How do I release notes?"."""
    assert question_of(heading) == ""


@pytest.mark.parametrize(
    ("locale", "heading", "question"),
    [
        ("fr", "Installer l'extension", "Comment installer l'extension ?"),
        ("fr", "Premiers pas", ""),
        ("es-MX", "Restaurar una copia", "¿Cómo restaurar una copia?"),
        ("pt-BR", "Instalar o plugin", "Como instalar o plugin?"),
        ("it", "Installare il plugin", "Come installare il plugin?"),
        ("de", "Was ist eine Generation?", "Was ist eine Generation?"),
        ("de", "Install the plugin", ""),
        ("ja", "何ですか？", "何ですか？"),  # noqa: RUF001 - that language's mark
        ("en-GB", "Restore a backup", "How do I restore a backup?"),
    ],
)
def test_a_question_is_in_the_language_of_its_page(locale: str, heading: str, question: str) -> None:
    """A French reader would be offered English questions about French pages."""
    assert question_of(heading, locale) == question


@given(st.text(max_size=300), st.sampled_from(["", "en", "fr", "es", "pt", "it", "de"]))
def test_any_heading_gives_a_short_line_or_nothing(heading: str, locale: str) -> None:
    """A heading of another form would break the run that was all but done."""
    question = question_of(heading, locale)
    assert len(question) <= LONGEST + 20
    assert "\n" not in question


def page(url: str, *headings: str, passages: int = 5, version: str = "", title: str = "") -> PageOutline:
    listed = tuple((text, f"h{number}") for number, text in enumerate(headings))
    return PageOutline(url, title or url, version, "", passages, listed)


def questions(pages: list[PageOutline], section: str = "", version: str = "") -> list[str]:
    made = Suggester()
    for one in pages:
        made.add(one)
    return [
        each.question
        for one in made.sets()
        if (one.section, one.version) == (section, version)
        for each in one.questions
    ]


def test_each_part_of_the_site_has_its_own() -> None:
    """A reader of the recovery pages would be offered questions about the installation."""
    pages = [page("/docs/start/a", "Install the tool"), page("/docs/recovery/b", "Restore a backup")]
    assert questions(pages, "/docs/start") == ["How do I install the tool?"]
    assert questions(pages, "/docs/recovery") == ["How do I restore a backup?"]
    assert len(questions(pages, "/docs")) == 2
    assert questions(pages, "/docs/recovery/b") == []


def test_versions_are_kept_apart() -> None:
    """A reader of version 1 would be asked about what came with version 2."""
    pages = [page("/docs/a", "Enable it", version="1"), page("/docs/a2", "Enable streams", version="2")]
    assert questions(pages, "/docs", "1") == ["How do I enable it?"]
    assert questions(pages, "/docs", "2") == ["How do I enable streams?"]


def test_no_page_has_all_the_questions() -> None:
    """The longest page would be all that readers are led to."""
    long = page("/a", *(f"Install part {n}" for n in range(10)), passages=50)
    pages = [long, page("/b", "Remove a part"), page("/c", "Choose a part"), page("/d", title="The parts")]
    found = questions(pages)
    assert found[:3] == ["How do I install part 0?", "How do I remove a part?", "How do I choose a part?"]
    assert len(found) == QUESTIONS


def test_titles_stand_in_for_questions() -> None:
    """A site whose headings are all nouns would greet its readers with nothing."""
    assert questions([page("/a", "Limits", title="Limits"), page("/b", title="Fees")]) == ["Limits", "Fees"]


def test_it_does_not_matter_in_which_order_pages_come() -> None:
    """Readers would be offered other questions after every run."""
    pages = [page(f"/docs/{n % 7}/{n}", f"Install part {n}", passages=n % 5) for n in range(200)]
    shuffled = random.Random(3).sample(pages, len(pages))
    assert questions(shuffled, "/docs") == questions(pages, "/docs")
    made = Suggester()
    for one in shuffled:
        made.add(one)
    assert max(len(kept) for kept in made._pages.values()) == PAGES


def one_set(section: str, *texts: str, version: str = "", weight: int = 1) -> SuggestionSet:
    asked = tuple(SuggestedQuestion(text, "/x") for text in texts)
    return SuggestionSet(section, version, "", weight, asked)


def test_the_nearest_part_comes_first_and_is_filled_up() -> None:
    """A small part of the site would offer one question and leave the place empty."""
    sets = [one_set("", "A", "b", "C"), one_set("/docs/x", "B"), one_set("/docs", "D")]
    assert [one.question for one in choose(sets, 3)] == ["B", "D", "A"]


def test_without_a_version_the_largest_comes_first() -> None:
    """A reader of the start page would be offered what an old version said."""
    sets = [one_set("", "old", version="1", weight=3), one_set("", "new", version="2", weight=9)]
    assert [one.question for one in choose(sets, 1)] == ["new"]


def test_what_is_read_from_the_bucket_is_what_postgres_finds() -> None:
    """In an outage readers of one version would be offered another's questions."""
    sets = [one_set("/docs", "1", version="1"), one_set("/docs", "2", version="2"), one_set("/docs", "all")]
    found = matching([*sets, one_set("/other", "x")], "https://docs.example/docs/a#b", "1", "en")
    assert [one.questions[0].question for one in found] == ["1", "all"]
    assert matching(sets, "/docs/a", "", "") == sets


@pytest.mark.parametrize(
    ("url", "sections"),
    [
        ("https://docs.example/docs/a/b#c", ("/docs/a", "/docs", "")),
        ("/docs/a/?q=1", ("/docs", "")),
        ("/", ("",)),
        ("", ("",)),
        ("http://[", ("",)),
    ],
)
def test_the_parts_of_a_page(url: str, sections: tuple[str, ...]) -> None:
    """A reader would be in no part of the site, or an address would break the answer."""
    assert sections_of(url) == sections
