"""The page of a real ``lectern run`` in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.test_page import ARGUMENTS, ask
from tests.functions.test_cli import serving

pytestmark = pytest.mark.e2e


def test_a_newcomer_asks_and_follows_the_link(tmp_path: Path) -> None:
    """A newcomer would see a page that does not answer, or links that lead nowhere."""
    with serving(tmp_path / "home") as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1100, "height": 1000}, color_scheme="light")
        page.set_default_timeout(20_000)
        page.goto(address)
        ask(page, "How do I restore a backup?")
        link = page.locator("a[href*='/docs/recovery/restore#']").first
        link.wait_for()
        page.screenshot(path=str(tmp_path / "answer.png"))
        target = link.get_attribute("href")
        page.goto(target)
        anchor = target.split("#")[1]
        assert page.locator(f"[id='{anchor}']").count() == 1
        page.screenshot(path=str(tmp_path / "handbook.png"))
        browser.close()
