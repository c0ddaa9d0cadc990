"""Takes the pictures of the pages in docs/images: a real cluster, real clients, a node killed.

Takes the ports from 8001 on, since they stand in the pictures. Everything but the pictures is gone
afterwards.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from playwright.async_api import async_playwright
from tornado.httpclient import AsyncHTTPClient

from router.orphans import death_signal
from scripts.measuring.browser import ARGUMENTS, find_browser
from scripts.screens.crowd import Crowd
from scripts.screens.shots import open_dashboard, take_dashboard, take_page

SWITCHBOARD: Final = str(Path(sys.executable).with_name("switchboard"))
IMAGES: Final = Path("docs/images")
_KILLED: Final = "n3"
_KILLED_AFTER: Final = 0.55  # of the time


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES, help=f"folder (default: {IMAGES})")
    parser.add_argument("--seconds", type=float, default=240, help="of load (default: 240)")
    parser.add_argument("--users", type=int, default=180, help="online (default: 180)")
    parser.add_argument("--rate", type=float, default=120, help="messages a second (default: 120)")
    parser.add_argument("--port", type=int, default=8001, help="of the first node (default: 8001)")
    return parser.parse_args()


@asynccontextmanager
async def cluster(folder: Path, port: int) -> AsyncIterator[list[dict[str, Any]]]:
    """Run three nodes; yield what `switchboard up` says of them."""
    process = await asyncio.create_subprocess_exec(
        *(SWITCHBOARD, "up", "--json", "--nodes", "3", "--port", str(port)),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        preexec_fn=death_signal(signal.SIGTERM),
    )
    try:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            sys.exit(f"the cluster did not start: are the ports from {port} on free?")
        yield json.loads(line)["nodes"]
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def kill(url: str, name: str) -> None:
    """End a node without a word: the others rescue what it held, and it is started again."""
    answer = await AsyncHTTPClient().fetch(f"{url}api/v1/nodes")
    nodes = json.loads(answer.body)["nodes"]
    os.kill(next(node["pid"] for node in nodes if node["name"] == name), signal.SIGKILL)


async def take_all(options: argparse.Namespace, folder: Path) -> None:
    program = find_browser()
    if program is None:
        sys.exit("the pictures need Chromium (Debian: apt install chromium)")
    async with cluster(folder, options.port) as nodes, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        urls = [node["url"] for node in nodes]
        sockets = [f"{url.replace('http', 'ws', 1)}ws" for url in urls]
        await take_page(browser, urls[0], options.out)
        crowd = Crowd(sockets, options.users, options.rate)
        await crowd.arrive()
        board = await open_dashboard(browser, urls[0])
        crowd.talk()
        await asyncio.sleep(options.seconds * _KILLED_AFTER)
        await kill(urls[0], _KILLED)
        await asyncio.sleep(options.seconds * (1 - _KILLED_AFTER))
        await take_dashboard(board, options.out)
        await crowd.fall_silent()
        await crowd.leave()
        await browser.close()


def main() -> None:
    options = read_options()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="switchboard-pictures-") as folder:
        asyncio.run(take_all(options, Path(folder)))
    print(*sorted(str(path) for path in options.out.glob("*.png")), sep="\n")


if __name__ == "__main__":
    main()
