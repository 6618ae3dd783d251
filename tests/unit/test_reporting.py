"""The writers' report: what a team that writes documentation reads off it."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ports.questions import AskedQuestion
from shared.reporting.chart import _ceiling, spark
from shared.reporting.page import html_page, is_web_address
from shared.reporting.report import GapReport, kinds_of, make_report, week_starts
from shared.reporting.texts import LONGEST, plain
from shared.reporting.topics import topics

MATTERS = {
    "pdf": [
        "How do I export the docs to PDF?",
        "export to pdf",
        "can I download the documentation as a PDF",
        "is there a PDF version of the handbook?",
        "print the handbook as pdf",
    ],
    "openai": [
        "How do I connect it to OpenAI instead of Gemini?",
        "does it work with openai",
        "use GPT-4 from OpenAI as model",
        "support for openai",
    ],
    "gpu": ["How do I configure a GPU for the local model?", "gpu for embeddings", "enable cuda gpu"],
    "windows": ["How do I build it for Windows ARM?", "windows arm build", "does it run on windows"],
    "noise": ["give me a joke"],
    "more noise": ["what is the weather in Berlin"],
}
NOW = datetime(2026, 11, 25, 15, tzinfo=UTC).timestamp()
DAY = 86_400.0


def asked(question: str, days_ago: float = 1.0, kind: str = "not_found", **more: object) -> AskedQuestion:
    return replace(AskedQuestion(question, NOW - days_ago * DAY, kind), **more)


def report(*questions: AskedQuestion, days: float = 28, **more: int) -> GapReport:
    starts = week_starts(NOW - days * DAY, NOW)
    return make_report(questions, [10] * len(starts), starts, NOW, **more)


# ---------------------------------------------------------------- topics


def test_questions_about_one_matter_are_one_topic() -> None:
    """A writer would read forty lines to learn that twenty readers miss one page."""
    questions = [text for texts in MATTERS.values() for text in texts]
    found = [{questions[place] for place in topic.members} for topic in topics(questions)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, MATTERS.values()))


def test_a_topic_is_called_by_its_commonest_words() -> None:
    """A number instead of words would have to be opened to be understood."""
    labels = [topic.label for topic in topics([text for texts in MATTERS.values() for text in texts])]
    assert "pdf" in labels[0]
    assert "give me a joke" in labels
    assert not any(word in label.split() for label in labels[:3] for word in ("how", "the", "i", "it"))


@given(st.permutations([text for texts in MATTERS.values() for text in texts] * 2))
def test_topics_do_not_depend_on_the_order_of_asking(questions: list[str]) -> None:
    """The same week would be told in another way each time the report is made."""
    assert told(questions) == told(sorted(questions))


def told(questions: list[str]) -> list[tuple[str, list[str]]]:
    return [(topic.label, sorted(questions[n] for n in topic.members)) for topic in topics(questions)]


@given(st.lists(st.text(max_size=40), max_size=30))
def test_every_question_is_in_one_topic(questions: list[str]) -> None:
    """A question in a script without words, or without any letter, would vanish."""
    members = sorted(place for topic in topics(questions) for place in topic.members)
    assert members == list(range(len(questions)))


def test_other_languages_are_grouped_by_their_words() -> None:
    """A German site's report would be a list of single questions."""
    questions = ["Export als PDF?", "PDF Export einrichten", "日本語の検索", "日本語の検索"]
    assert [sorted(topic.members) for topic in topics(questions)] == [[0, 1], [2, 3]]


def test_thousands_are_grouped_in_seconds() -> None:
    """A busy site's report would not come back."""
    seed = random.Random(7)
    words = [f"word{number}" for number in range(800)]
    questions = [" ".join(seed.choices(words, k=6)) for _ in range(3000)]
    assert sum(len(topic.members) for topic in topics(questions)) == 3000


# ---------------------------------------------------------------- what counts


@pytest.mark.parametrize(
    ("one", "kinds"),
    [
        (asked("q"), ("unanswered",)),
        (asked("q", kind="extractive"), ()),
        (asked("q", kind="extractive", coverage=0.5), ()),
        (asked("q", kind="extractive", coverage=0.49), ("low_coverage",)),
        (asked("q", kind="generated", rating="down"), ("low_rated",)),
        (asked("q", kind="generated", rating="up"), ()),
        (asked("q", kind="generated", rating="down", coverage=0.1), ("low_rated", "low_coverage")),
        (asked("q", rating="down", coverage=0.1), ("unanswered", "low_rated")),
    ],
)
def test_why_a_question_is_in_the_report(one: AskedQuestion, kinds: tuple[str, ...]) -> None:
    """Writers would work on questions that the docs answer."""
    assert kinds_of(one) == kinds


def test_the_report_counts_each_topic_week_and_page() -> None:
    """A gap that grows would look like one that was closed."""
    pages = (("Exporting", "/docs/export"), ("Printing", "/docs/print"))
    found = report(
        asked("export to pdf", 20, pages=pages),
        asked("Export to PDF", 2, pages=pages[:1]),
        asked("pdf export", 1, "generated", rating="down", comment="no word about PDF"),
        asked("give me a joke", 1),
        asked("how are apples stored", 1, "extractive"),
        least=2,
    )
    [topic] = found.topics
    assert (topic.questions, topic.unanswered, topic.low_rated, topic.low_coverage) == (3, 2, 1, 0)
    assert [(one.question, one.count) for one in topic.examples] == [("Export to PDF", 2), ("pdf export", 1)]
    assert [(page.title, page.url, page.count) for page in topic.pages] == [
        ("Exporting", "/docs/export", 2),
        ("Printing", "/docs/print", 1),
    ]
    assert topic.comments == ("no word about PDF",)
    assert (topic.last_asked, sum(topic.by_week)) == ("2026-11-24", 3)
    assert (found.asked, found.gaps, found.unanswered, found.low_rated, found.left_out) == (50, 4, 3, 1, 1)
    assert [week.unanswered for week in found.weeks] == [0, 1, 0, 0, 2]
    assert [week.low_rated for week in found.weeks] == [0, 0, 0, 0, 1]


def test_weeks_begin_on_monday() -> None:
    """A trend over weeks of different length would rise and fall by itself."""
    starts = week_starts(NOW - 14 * DAY, NOW)
    dates = [datetime.fromtimestamp(start, UTC) for start in starts]
    assert [f"{date:%a %d %b %H}" for date in dates] == ["Wed 11 Nov 15", "Mon 16 Nov 00", "Mon 23 Nov 00"]


# ---------------------------------------------------------------- the page


class Reader(HTMLParser):
    """What a browser would make of a page: its tags with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = [
    "<script>alert(1)</script>",
    "</h3><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</style><script src=//evil.example></script>",
    "javascript:alert(1)",
    "&lt;script&gt;",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_readers_wrote_is_shown_and_does_nothing(text: str) -> None:
    """A reader would run a program in the browser of whoever opens the report."""
    pages = ((text, text), (text, f"https://docs.example/{text}"), (text, "javascript:alert(1)"))
    one = asked(text, kind="generated", rating="down", comment=text, pages=pages)
    reader = Reader(html_page(report(one, one), title=text))
    names = {tag for tag, _ in reader.tags}
    assert not names & {"script", "img", "iframe", "object", "link", "base", "form"}
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)
    assert all(is_web_address(str(one["href"])) for tag, one in reader.tags if tag == "a")
    assert reader.text.count(text) >= 4


SHOWN = (
    "html head meta title style body main h1 h2 h3 h4 p dl div dt dd small ul li svg rect line text details "
    "summary table thead tbody tr th td article bdi span a blockquote"
)


@given(st.text(alphabet=st.sampled_from("<>/&;\"'= abx!-[]`"), max_size=60) | st.text(max_size=60))
def test_no_text_adds_a_tag(text: str) -> None:
    """One that was forgotten among the known ones would do."""
    one = asked(text, comment=text, pages=((text, text),))
    tags = Reader(html_page(report(one))).tags
    assert {tag for tag, _ in tags} <= set(SHOWN.split())
    assert [tag for tag, _ in tags].count("article") == 1


def test_the_page_asks_nobody_for_anything() -> None:
    """Opening the report would tell another site of it, or show nothing without a network."""
    page = html_page(report(*(asked(text) for texts in MATTERS.values() for text in texts)))
    reader = Reader(page)
    assert not [one for tag, one in reader.tags if "src" in one or tag in {"link", "script"}]
    assert "url(" not in page
    assert "@import" not in page
    policy = next(one["content"] for tag, one in reader.tags if one.get("http-equiv"))
    assert str(policy).startswith("default-src 'none'")
    assert "export" in reader.text


def test_the_chart_shows_every_week_to_scale() -> None:
    """A picture that does not say what the numbers say is worse than none."""
    found = report(*(asked("pdf", 1) for _ in range(6)), *(asked("pdf", 8) for _ in range(3)))
    bars = [
        one for tag, one in Reader(html_page(found)).tags if tag == "rect" and "y" in one and "class" in one
    ]
    heights = [float(str(one["height"])) for one in bars if one["class"] == "unanswered"]
    assert len(heights) == 2
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)


def test_a_time_without_gaps_is_said_to_be_one() -> None:
    """An empty page would look like a broken one."""
    assert "Every question of this time was answered" in Reader(html_page(report())).text


@given(st.integers(0, 1_000_000))
def test_the_scale_holds_the_highest_bar(most: int) -> None:
    """The bar of a bad week would leave the picture."""
    assert most <= _ceiling(most) <= max(4, most * 3)
    assert _ceiling(most) % 4 == 0


def test_a_topic_nobody_asked_has_no_bars() -> None:
    """A line would stand where there is nothing."""
    assert "<rect" not in spark((0, 0))


# ---------------------------------------------------------------- texts


@given(st.text(max_size=900))
def test_text_is_one_visible_line(text: str) -> None:
    """A terminal would obey what a reader wrote, and a mark of direction would turn what follows it."""
    line = plain(text)
    assert len(line) <= LONGEST
    assert line == plain(line)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", line)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://docs.example/a", True),
        ("/docs/a", True),
        ("//evil.example/a", False),
        ("/\\evil.example", False),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_only_addresses_of_the_web_become_links(url: str, good: bool) -> None:
    """A click in the report would run what a page's author, or a reader, chose."""
    assert is_web_address(url) is good
