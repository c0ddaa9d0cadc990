"""Program: the pages of a run, each in a context of its own in one Chromium.

A program beside that of the other clients, since it alone needs playwright. SIGTERM and the end of
stdin end the browser before they end the program.
"""

import argparse
import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

import uvloop
from playwright.async_api import Browser, async_playwright

from scripts.faults.ledger import Pen
from scripts.faults.page import Page
from scripts.measuring.browser import ARGUMENTS, find_browser
from scripts.measuring.peer import Request, serve

FILE: Final = "pages.jsonl"
_FIRST_NUMBER: Final = 1_000_000_000  # the other clients number their connections from 1


class Pages:
    """The requests this program answers.

    Args:
        browser: for the pages.
        pen: the ledger.
    """

    def __init__(self, browser: Browser, pen: Pen) -> None:
        self._browser = browser
        self._pen = pen
        self._pages: list[Page] = []
        self._numbers = count(_FIRST_NUMBER)

    async def start(self, request: Request) -> Request:
        """Open a page for each of `users` on these `nodes`; return when all are connected.

        Each is served by another node, as far as there are nodes.
        """
        nodes, ping_s = request["nodes"], request["ping_s"]
        for index, user in enumerate(request["users"]):
            tab = await (await self._browser.new_context()).new_page()
            first = index % len(nodes)
            turned = [*nodes[first:], *nodes[:first]]
            page = Page(user, turned, tab, numbers=self._number, pen=self._pen, ping_s=ping_s)
            self._pages.append(page)
            await page.start()
        await self._all(request["limit_s"], lambda page: page.live)
        return {"devices": len(self._pages)}

    def _number(self) -> int:
        return next(self._numbers)

    async def calm(self, request: Request) -> Request:
        """Wait until every page is connected."""
        await self._all(request["limit_s"], lambda page: page.live)
        return {"devices": len(self._pages)}

    async def end(self, request: Request) -> Request:
        """Note nothing any more: the cluster is about to be stopped."""
        for page in self._pages:
            await page.flush()
        self._pen.end()
        return {}

    async def _all(self, limit_s: float, are_so: Callable[[Page], bool]) -> None:
        async with asyncio.timeout(limit_s):
            while not all(are_so(page) for page in self._pages):
                failed = next((page.failed for page in self._pages if page.failed), "")
                if failed:
                    raise RuntimeError(failed)
                await asyncio.sleep(0.05)


async def main() -> None:
    """Serve the runner until it goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ledger", type=Path)
    given = parser.parse_args()
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with async_playwright() as playwright, Pen(given.ledger / FILE) as pen:
        browser = await playwright.chromium.launch(
            executable_path=find_browser(), args=list(ARGUMENTS), env={**os.environ, "LC_ALL": "C"}
        )
        try:
            pages = Pages(browser, pen)
            handlers = {"start": pages.start, "calm": pages.calm, "end": pages.end}
            await serve(handlers, {"ready": True})
        finally:
            await browser.close()


if __name__ == "__main__":
    with contextlib.suppress(asyncio.CancelledError):
        uvloop.run(main())
