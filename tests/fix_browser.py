"""Pages in the headless Chromium of the system, by playwright, which is imported only on use."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.programs import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Scheme = Literal["light", "dark"]

SHOTS = "SUPABASE_JOBS_SHOTS"  # folder for screenshots


@dataclass
class Opened:
    """A page, its console messages and errors, and the URLs that it has requested."""

    page: "Page"
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """One browser for all tests; without a sandbox as root."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: "Browser", tmp_path: Path) -> Iterator[Open]:
    """`open_page(html, width=390, scheme="dark")`: a page from a file, in a new browser context."""
    opened: list[Opened] = []

    def open_(html: str, *, width: int = 1280, scheme: Scheme = "light") -> Opened:
        file = tmp_path / f"page-{len(opened)}.html"
        file.write_text(html, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        one = Opened(context.new_page())
        one.page.on("console", lambda message: one.messages.append(message.text))
        one.page.on("pageerror", lambda error: one.messages.append(str(error)))
        one.page.on("request", lambda request: one.requests.append(request.url))
        one.page.goto(file.as_uri())
        opened.append(one)
        return one

    yield open_
    for one in opened:
        one.page.context.close()


def shoot(page: "Page", name: str) -> None:
    """Take a screenshot if the environment names a folder."""
    if folder := os.environ.get(SHOTS):
        page.screenshot(path=Path(folder) / f"{name}.png")
