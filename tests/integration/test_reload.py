"""A node in a terminal: SIGHUP has it read its settings again, unless the terminal was closed."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus

from router.store.embedded import EmbeddedServer
from tests.support.clients import Client
from tests.support.cluster import unique_prefix
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]


class Place:
    """A node with a file of settings, in a terminal of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self._prefix = unique_prefix()
        self.config = folder / "config.toml"
        self._log = folder / "log"
        self.terminal, inside = pty.openpty()
        self.write("user_sessions = 1")
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "node.cli", "serve"),
                    *("--config", str(self.config), "--redis", url, "--port", "0"),
                ],
                cwd=ROOT,
                stdin=inside,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
            )
        os.close(inside)

    def write(self, limits: str, more: str = "") -> None:
        """Write the file of settings."""
        self.config.write_text(
            f'[registry]\nprefix = "{self._prefix}"\n[log]\nformat = "json"\n{more}\n'
            f"[limits]\n{limits}\n"
        )

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return what it has logged of one kind."""
        assert self.process.poll() is None, self._log.read_text()
        lines = re.findall(r"^{.*}$", self._log.read_text(), re.MULTILINE)
        return [line for line in map(json.loads, lines) if line["event"] == event]

    async def hangup(self, event: str, count: int) -> dict[str, Any]:
        """Send SIGHUP; return the line of the log that follows."""
        self.process.send_signal(signal.SIGHUP)
        await eventually(lambda: len(self.lines(event)) == count, what=event)
        return self.lines(event)[-1]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.terminal)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def place(store: EmbeddedServer, tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path, store.address.url)
    yield found
    found.close()


async def test_settings_change_while_it_runs_and_the_end_of_its_terminal_stops_it(
    place: Place,
) -> None:
    await eventually(lambda: place.lines("node is up"), 30.0)
    address = urlsplit(place.lines("node is up")[0]["address"]).netloc
    async with await Client.open(address, "alice") as first:
        with pytest.raises(InvalidStatus):
            await Client.open(address, "alice")

        place.write("user_sessions = 2\nfuel = 5")
        line = await place.hangup("settings not reloaded, those of before stay", 1)
        assert line["problems"] == [
            "limits.fuel: there is no such setting; config.toml lists them all"
        ]
        with pytest.raises(InvalidStatus):
            await Client.open(address, "alice")

        place.write("user_sessions = 2", 'level = "debug"\n[node]\nping_interval_s = 5')
        line = await place.hangup("settings reloaded", 1)
        assert line["changed"] == ["limits.user_sessions", "log.level"]
        assert line["node"] == "n1"
        assert line["endpoint"].startswith("n1.")
        assert line["needs_a_restart"] == ["node.ping_interval_s"]
        async with await Client.open(address, "alice") as second:
            assert await second.nothing_came()

        assert await first.nothing_came()
        os.close(place.terminal)
        assert (await first.closed())[0] in (1001, 1012)
    assert await asyncio.to_thread(place.process.wait, 30) == 0
