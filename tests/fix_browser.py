"""Pages in the headless Chromium of the system, by playwright, which is imported only on use."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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


@pytest.fixture(scope="session")
def tab(browser: "Browser") -> "Page":
    """One page for all tests: a new context has its own process, and costs ten times as much as a
    navigation.
    """
    return browser.new_context().new_page()


@pytest.fixture
def open_page(tab: "Page", tmp_path: Path) -> Iterator[Open]:
    """`open_page(html, width=390, scheme="dark")`: load a page from a file; it replaces the last
    one.
    """
    opened: list[Opened] = []
    listeners: dict[Any, Callable[[Any], None]] = {
        "console": lambda message: opened[-1].messages.append(message.text),
        "pageerror": lambda error: opened[-1].messages.append(str(error)),
        "request": lambda request: opened[-1].requests.append(request.url),
    }

    def open_(html: str, *, width: int = 1280, scheme: Scheme = "light") -> Opened:
        file = tmp_path / f"page-{len(opened)}.html"
        file.write_text(html, encoding="utf-8")
        tab.set_viewport_size({"width": width, "height": 900})
        tab.emulate_media(media="screen", color_scheme=scheme)
        opened.append(Opened(tab))
        tab.goto(file.as_uri())
        return opened[-1]

    for event, listener in listeners.items():
        tab.on(event, listener)
    yield open_
    tab.goto("about:blank")
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)


def shoot(page: "Page", name: str) -> None:
    """Take a screenshot if the environment names a folder."""
    if folder := os.environ.get(SHOTS):
        page.screenshot(path=Path(folder) / f"{name}.png")
