"""A real headless Chromium, by playwright; the system's own, and nothing is downloaded."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.parts import chromium

Scheme = Literal["light", "dark"]

SHOTS = "SUPABASE_JOBS_SHOTS"  # a folder for screenshots, to look at


@dataclass
class Opened:
    """A page, and what it has said and asked for so far."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)


Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests; as root it has no sandbox."""
    words = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=words)
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """`open_page(html, width=390, scheme="dark")`: a page from a file, in a profile of its own."""
    opened: list[Opened] = []

    def open_(html: str, *, width: int = 1280, scheme: Scheme = "light") -> Opened:
        file = tmp_path / f"page-{len(opened)}.html"
        file.write_text(html, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        made = Opened(context.new_page())
        made.page.on("console", lambda message: made.said.append(message.text))
        made.page.on("pageerror", lambda error: made.said.append(str(error)))
        made.page.on("request", lambda request: made.asked_for.append(request.url))
        made.page.goto(file.as_uri())
        opened.append(made)
        return made

    yield open_
    for made in opened:
        made.page.context.close()


def shoot(page: Page, name: str) -> None:
    """A screenshot, where somebody wants to look."""
    if folder := os.environ.get(SHOTS):
        page.screenshot(path=Path(folder) / f"{name}.png")
