"""The local page in a real browser: Debian's chromium, driven by playwright."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.toy_page import running

pytestmark = pytest.mark.e2e

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running() as url:
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """The page, opened; the test fails on any script error or breach of the content security policy."""
    context = chromium.new_context(viewport={"width": 1100, "height": 900}, color_scheme="light")
    context.set_default_timeout(10_000)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
    opened.goto(address)
    yield opened
    context.close()
    assert not wrong


def ask(page: Page, question: str) -> None:
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")


def finished(page: Page) -> None:
    expect(page.locator(".turn").last).not_to_have_attribute("aria-busy", "true")


@pytest.mark.parametrize("form", ["", " as json"])
def test_an_answer_shows_its_passages_and_their_links(page: Page, address: str, form: str) -> None:
    """A reader could not see, or could not check, where an answer comes from."""
    ask(page, "How do I restore a backup?" + form)
    finished(page)
    passages = page.locator(".passage")
    expect(passages).to_have_count(3)
    link = passages.first.locator("header a")
    expect(link).to_have_text("From a recovery point")
    expect(link).to_have_attribute("href", f"{address}/docs/recovery#from-a-recovery-point")
    expect(passages.first.locator(".crumbs span")).to_have_text(["Recovery", "Restoring"])
    expect(page.get_by_role("status")).to_have_text("Answer with 3 passages.")
    expect(page.locator(".facts").last).to_contain_text("42 ms")
    link.click()
    expect(page.locator("h1")).to_have_text("/docs/recovery")


def test_markdown_of_a_passage_is_readable(page: Page, address: str) -> None:
    """A command with its line breaks lost could be copied and would do something else."""
    ask(page, "How do I restore a backup?")
    finished(page)
    first, second, third = page.locator(".quote").all()
    expect(first.locator("ol > li")).to_have_count(3)
    code = "lectern recovery restore 2026-11-20T03:00Z \\\n  --into sealed-room --questions golden"
    assert first.locator("pre code").text_content() == code
    expect(first.locator("code").first).to_have_text("lectern recovery list")
    expect(first.get_by_role("link", name="report")).to_have_attribute(
        "href", f"{address}/docs/drill#reading-the-report"
    )
    expect(first.locator("td")).to_have_count(6)
    expect(second.locator("ul ul li em")).to_have_text("order")
    expect(second.locator("blockquote")).to_have_count(2)
    page.get_by_role("button", name="Show the whole passage").last.click()
    expect(third).not_to_have_class(re.compile("clamped"))


def test_text_from_the_docs_is_never_markup(page: Page) -> None:
    """A page of the docs could run a script in the reader's browser."""
    ask(page, "hostile")
    finished(page)
    answer = page.locator(".turn")
    assert answer.locator("img, script, iframe, b, i").count() == 0
    assert answer.locator("a").count() == 0
    expect(answer).to_contain_text("<img src=x onerror")
    assert page.title() == "Lectern: ask the docs"


def test_no_answer_is_an_answer_of_its_own(page: Page) -> None:
    """A reader would not know whether the docs are silent or the search is broken."""
    page.get_by_role("button", name="How long do I cook risotto?").click()
    finished(page)
    expect(page.locator(".notice.none .title")).to_have_text("The docs do not say.")
    expect(page.locator(".notice.none a")).to_have_text(["Configuration", "Operating"])
    expect(page.locator(".passage")).to_have_count(0)
    expect(page.get_by_role("status")).to_have_text("The docs do not say.")


def test_a_degraded_answer_is_marked(page: Page) -> None:
    """An answer from a lesser search would pass for a full one."""
    ask(page, "What happens when Qdrant is down?")
    finished(page)
    expect(page.locator(".notice.degraded")).to_contain_text("connection refused")
    expect(page.locator(".facts").last).to_contain_text("full text")
    expect(page.locator(".facts").last).to_contain_text("not recorded")


def test_an_error_says_what_to_do_and_when(page: Page) -> None:
    """A reader over the limit would keep pressing a button that cannot work yet."""
    ask(page, "I ask too fast")
    error = page.locator(".notice.error")
    expect(error).to_contain_text("Wait a moment, then ask again.")
    again = error.get_by_role("button")
    expect(again).to_be_disabled()
    expect(again).to_be_enabled()
    again.click()
    expect(page.locator(".turn")).to_have_count(2)


def test_an_answer_that_breaks_off_says_so(page: Page) -> None:
    """Half an answer would look like a whole one."""
    ask(page, "this one breaks")
    expect(page.locator(".notice.error")).to_contain_text("the stream ended early")
    expect(page.locator(".lead-in")).to_contain_text("These passages")


def test_a_server_that_is_gone_is_named(page: Page) -> None:
    """A stopped `make run` would look like an endless search."""
    page.route("**/chat", lambda route: route.abort("connectionrefused"))
    ask(page, "Anybody there?")
    expect(page.locator(".notice.error")).to_contain_text("Check that it is still running")


def test_it_works_by_keyboard(page: Page) -> None:
    """A reader without a mouse could not ask, stop or come back to the question."""
    page.keyboard.press("/")
    box = page.get_by_label("Your question")
    expect(box).to_be_focused()
    page.keyboard.type("endless")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("question")
    assert box.input_value() == "endless\nquestion"
    page.keyboard.press("Enter")
    expect(page.locator(".lead-in")).to_contain_text("and and")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".turn .facts")).to_have_text("Stopped.")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()


@pytest.mark.parametrize(("scheme", "other"), [("light", "dark"), ("dark", "light")])
def test_light_and_dark(chromium: Browser, address: str, tmp_path: Path, scheme: str, other: str) -> None:
    """A reader at night would be blinded, or would see dark text on a dark page."""
    with chromium.new_context(color_scheme=scheme) as context:
        opened = context.new_page()
        opened.goto(address)
        ask(opened, "How do I restore a backup?")
        finished(opened)
        before = brightness(opened)
        opened.screenshot(path=tmp_path / f"{scheme}.png")
        opened.get_by_role("button", name="Switch between light and dark").click()
        after = brightness(opened)
        assert (before > 200, after > 200) == (scheme == "light", other == "light")
        opened.reload()
        assert brightness(opened) == after


def brightness(page: Page) -> float:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    parts = [float(part) for part in re.findall(r"[\d.]+", colour)][:3]
    return sum(parts) / 3


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_wider_than_a_phone(chromium: Browser, address: str, width: int) -> None:
    """On a phone the reader would have to scroll sideways to read a line."""
    with chromium.new_context(viewport={"width": width, "height": 700}, has_touch=True) as context:
        opened = context.new_page()
        opened.goto(address)
        ask(opened, "How do I restore a backup?")
        finished(opened)
        assert opened.evaluate("document.documentElement.scrollWidth") == width
        expect(opened.get_by_label("Your question")).to_be_in_viewport()


FUZZ = """async ([seed, runs]) => {
  const { markdown } = await import("/markdown.js");
  let state = seed;
  const random = (n) => (state = (state * 1103515245 + 12345) % 2147483648) % n;
  const parts = ["`", "```", "~~~", "*", "**", "_", "[", "](", ")", "!", "|", "-", "---", "\\n", "\\n\\n",
    "    ", "> ", "- ", "1. ", "# ", ":::", ":::tip", "\\\\", "word", "é", "{#a}", "javascript:alert(1)",
    "<img src=x onerror=alert(1)>"];
  const bad = [];
  const check = (text) => {
    const box = document.createElement("div");
    const started = performance.now();
    box.append(...markdown(text, "/docs/a"));
    const slow = performance.now() - started > 500;
    const risky = [...box.querySelectorAll("*")].some((node) =>
      ["SCRIPT", "IMG", "IFRAME"].includes(node.tagName)
      || [...node.attributes].some((a) => a.name.startsWith("on"))
      || (node.tagName === "A" && !/^(https?|mailto):/.test(node.href)));
    if (slow || risky) bad.push([slow, text.slice(0, 80)]);
  };
  for (let run = 0; run < runs; run += 1) {
    check(Array.from({ length: random(40) }, () => parts[random(parts.length)]).join(""));
  }
  for (const part of parts) check(part.repeat(5000));
  for (const [a, b] of [["[", "]"], ["**a", " "], ["`", "a"], ["*a", "b "], ["[a](", "("], ["|a", "|"]]) {
    check((a + b).repeat(2500));
    check(a.repeat(2500) + b.repeat(2500));
  }
  return bad;
}"""


def test_no_passage_breaks_the_page(page: Page, *, full: bool) -> None:
    """An odd passage would freeze the reader's browser, or slip something through that acts."""
    assert page.evaluate(FUZZ, [7, 50_000 if full else 2_000]) == []
