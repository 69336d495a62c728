"""A browser, and what it finds wrong with a page."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RULES = [(360, "dark"), (1400, "light")]  # the looks that are held against the rules of accessibility
LOOKS = [(360, "dark"), (800, "light"), (1400, "light"), (1400, "dark")]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("headless Chromium is not here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def faults(browser: Any) -> Callable[[Path], list[str]]:
    """Return a function that opens a page, narrow and wide, light and dark, and says what is wrong with it."""
    from axe_playwright_python.sync_playwright import Axe

    def look(page: Path) -> list[str]:
        found: list[str] = []

        def note(what: str) -> None:
            found.append(what)

        for width, scheme in LOOKS:
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
            tab = context.new_page()
            tab.on("console", lambda message: note(f"console: {message.text}"))
            tab.on("pageerror", lambda error: note(f"error: {error}"))
            tab.on("request", lambda request: note(f"request: {request.url}") if "http" in request.url[:5] else None)
            tab.goto(page.as_uri())
            scrolls = tab.evaluate("document.documentElement.scrollWidth")
            found += [f"{width}: scrolls to {scrolls}"] if scrolls > width else []
            small = tab.evaluate(
                "[...document.querySelectorAll('body *')].filter(e => e.children.length == 0 && e.textContent.trim() && "
                "!['STYLE', 'SCRIPT', 'TITLE'].includes(e.tagName.toUpperCase()) && parseFloat(getComputedStyle(e).fontSize) < 11.9)"
                ".map(e => e.textContent.slice(0, 40))"
            )
            found += [f"{width}: text under 12 px: {text}" for text in small[:3]]
            if (width, scheme) in RULES:
                violations = Axe().run(tab).response["violations"]
                found += [f"{width} {scheme}: {each['id']}: {each['nodes'][0]['html'][:200]}" for each in violations]
            context.close()
        return found

    return look
