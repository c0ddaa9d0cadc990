"""The driver `chromium`: gives the commands to a page in a real Chromium, and prints its events.

The page is `js/page.html`. It has a function `command(object)` and calls `emit(object)`. Its files,
those beside it and those of `node/web/static` under `/static/`, come from the address of this
machine, so that a node of `auth.mode = "dev"` lets the page in.
"""

import asyncio
import json
import mimetypes
import os
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.async_api import Page, Route, async_playwright

from scripts.measuring.browser import ARGUMENTS
from tests.support.browser import chromium

_HERE: Final = Path(__file__).resolve().parent
_STATIC: Final = _HERE.parents[1] / "node" / "web" / "static"
_ORIGIN: Final = "http://127.0.0.1:9"  # nobody listens there: what is asked for is answered here
# A page that we answer for came from nowhere, and Chromium lets such a one not reach this machine.
_ARGUMENTS: Final = (*ARGUMENTS, "--disable-features=LocalNetworkAccessChecks")
_LINE_BYTES: Final = 1 << 22


async def _serve(route: Route) -> None:
    path = urlsplit(route.request.url).path
    inside = path.removeprefix("/static/")
    file = _STATIC / inside if inside != path else _HERE / "js" / path.lstrip("/")
    if not file.is_file():
        await route.fulfill(status=404)
        return
    kind = "text/javascript" if file.suffix in {".js", ".mjs"} else mimetypes.guess_type(file)[0]
    await route.fulfill(body=file.read_bytes(), content_type=kind or "text/plain")


def _emit(event: dict[str, Any]) -> None:
    print(json.dumps(event), flush=True)


async def _commands() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _obey(page: Page) -> None:
    async for line in await _commands():
        command = json.loads(line)
        if command["do"] == "exit":
            return
        await page.evaluate("(object) => { command(object); }", command)


async def _main() -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=list(_ARGUMENTS), env={**os.environ, "LC_ALL": "C"}
        )
        try:
            page = await browser.new_page()
            page.on("pageerror", lambda error: print(error, file=sys.stderr, flush=True))
            page.on("console", lambda said: print(said.text, file=sys.stderr, flush=True))
            await page.route(f"{_ORIGIN}/**", _serve)
            await page.expose_function("emit", _emit)
            await page.goto(f"{_ORIGIN}/page.html")
            await page.wait_for_function("typeof command === 'function'")
            await _obey(page)
        finally:
            await browser.close()


if __name__ == "__main__":
    asyncio.run(_main())
