"""The demo page in a real Chromium: one tab per person, driven as a person would."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from scripts.measuring.browser import ARGUMENTS

_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_DEADLINE_MS: Final = 15_000

DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 900}
PHONE: Final[ViewportSize] = {"width": 360, "height": 740}


def chromium() -> Path:
    """Return the Chromium of this machine; `SWITCHBOARD_TEST_CHROMIUM` names another."""
    named = os.environ.get("SWITCHBOARD_TEST_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, _PROGRAMS)), None)
    assert found, "the browser tests need Chromium (Debian: apt install chromium)"
    return Path(found)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser for the length of a `with` block."""
    expect.set_options(timeout=_DEADLINE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=list(ARGUMENTS), env={**os.environ, "LC_ALL": "C"}
        )
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """One person's page, with nothing shared with other tabs.

    Args:
        page: a fresh page.
        url: of the node that serves it.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.set_default_timeout(_DEADLINE_MS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def open(self, **query: str) -> "Tab":
        """Load the page and wait until it knows its nodes."""
        self.page.goto(f"{self.url}?{urlencode(query)}" if query else self.url)
        expect(self.page.locator("#nodes li").first).to_be_visible()
        return self

    def connect(self, user: str, node: str = "") -> "Tab":
        """Become a user, on a node or on the one offered first; wait until connected."""
        self.page.get_by_label("User id").fill(user)
        if node:
            choice = self.page.locator("#node option", has_text=node)
            self.page.get_by_label("Node", exact=True).select_option(choice.get_attribute("value"))
        self.page.get_by_role("button", name="Connect", exact=True).click()
        self.expect_connected()
        return self

    def send(self, to: str, data: str) -> None:
        """Send, without waiting for what becomes of it."""
        self.page.get_by_label("To user").fill(to)
        self.page.get_by_label("Message", exact=True).fill(data)
        self.page.get_by_role("button", name="Send", exact=True).click()

    def expect_connected(self, node: str = "") -> None:
        """Wait until the page says that it is connected, to this node if one is named."""
        expect(self.page.locator("#state")).to_contain_text(f"Connected to {node}")

    def expect_outcome(self, word: str) -> None:
        """Wait until the latest send ended in this word."""
        expect(self.page.locator("#sent li").first.locator(".badge")).to_have_text(word)
        expect(self.page.locator("#outcome")).to_have_text(word)

    def received(self) -> list[str]:
        """Return the messages shown, the newest first."""
        return self.page.locator("#received .data").all_inner_texts()

    def expect_received(self, *texts: str) -> None:
        """Wait until exactly these messages are shown, the newest first."""
        expect(self.page.locator("#received .data")).to_have_text(list(texts))

    def run(self, script: str, argument: Any = None) -> Any:
        """Run JavaScript in the page and return what it returns."""
        return self.page.evaluate(script, argument)
