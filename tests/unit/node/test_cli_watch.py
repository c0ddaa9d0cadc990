"""`switchboard watch`: as pictures, as lines, in a terminal."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import Iterator
from typing import Any, ClassVar

from tests.support.cli_case import ROOT, CliCase
from tests.support.waiting import eventually

_ROWS, _COLUMNS = 24, 80


class OnceTest(CliCase):
    overrides: ClassVar[dict[str, dict[str, Any]]] = {"lease": {"ttl_s": 2.0, "heartbeat_s": 0.3}}

    elsewhere = ""

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment,
            "SWITCHBOARD_LEASE__HEARTBEAT_S": "0.3",
            "SWITCHBOARD_REGISTRY__PREFIX": self.settings.registry.prefix + self.elsewhere,
            "COLUMNS": "120",
        }

    def test_one_picture_has_nodes_rates_and_users(self) -> None:
        self.connect_user("alice")
        self.connect_user("[red]bob")
        run = self.switchboard("watch", "--once")
        assert (run.status, run.err) == (0, "")
        for told in ("1 live", "n1", self.node.address, "delivered", "alice", "[red]bob"):
            assert told in run.out, told
        assert "\x1b" not in run.out

    def test_json_is_the_frame_of_the_feed_with_rates_that_are_known(self) -> None:
        self.connect_user("alice")
        run = self.switchboard("watch", "--once", "--json")
        assert run.status == 0
        frame = run.document
        assert frame["type"] == "cluster"
        assert [node["name"] for node in frame["nodes"]] == ["n1"]
        assert set(frame["per_second"].values()) == {0.0}

    def test_a_cluster_without_nodes_is_shown_at_once(self) -> None:
        self.elsewhere = "-empty"
        run = self.switchboard("watch", "--once")
        assert run.status == 0
        assert "no node is running" in run.out

    def test_a_store_that_is_not_there_ends_it_with_1(self) -> None:
        for options in (["--once"], []):
            run = self.switchboard("watch", *options, "--redis", "redis://127.0.0.1:1")
            assert (run.status, run.out, run.err.count("\n")) == (1, "", 1)

    def test_bad_input_ends_it_with_2(self) -> None:
        for arguments in (["--interval", "0"], ["--interval", "x"], ["n1"]):
            run = self.switchboard("watch", *arguments)
            assert (run.status, run.out, run.err.count("\n")) == (2, "", 1)

    def test_without_a_terminal_lines_follow_each_other_until_ctrl_c(self) -> None:
        self.wait_for(self.lines_follow())

    async def lines_follow(self) -> None:
        process = await self.spawn("watch", "--json", "--interval", "0.1")
        assert process.stdout is not None
        frames = [json.loads(await process.stdout.readline()) for _ in range(3)]
        assert {frame["type"] for frame in frames} == {"cluster"}
        assert frames[0]["at"] < frames[2]["at"]
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")

    def test_in_a_terminal_it_draws_over_itself_and_leaves_it_as_it_was(self) -> None:
        self.connect_user("alice")
        self.wait_for(self.draws())

    async def draws(self) -> None:
        with terminal() as (ours, theirs):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "node.cli", "watch", "--interval", "0.2"),
                stdin=theirs,
                stdout=theirs,
                stderr=asyncio.subprocess.PIPE,
                env={k: v for k, v in self.environment.items() if k != "COLUMNS"}
                | {"TERM": "xterm-256color"},
                cwd=ROOT,
            )
            said = bytearray()

            def says(text: bytes) -> bool:
                with contextlib.suppress(BlockingIOError):
                    said.extend(os.read(ours, 65_536))
                return text in said

            await eventually(lambda: says(b"alice"), what="the picture")
            assert b"\x1b[?1049h" in said  # a screen of its own
            narrow = said.count("╭".encode())
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 130, 0, 0))
            process.send_signal(signal.SIGWINCH)
            await eventually(lambda: says(b"address"), what="the wide picture")
            assert said.count("╭".encode()) > narrow
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
            assert (process.returncode, err) == (0, b"")
            await eventually(lambda: says(b"\x1b[?1049l"), what="the screen of before")


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Yield both ends of a terminal of 80 columns: ours, which does not wait, and theirs."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        os.set_blocking(ours, False)
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)
