"""Processes that a run starts, talks to, and ends by their ids."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from router.orphans import death_signal
from scripts.measuring.peer import MAX_LINE_BYTES

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 10.0
_LOG_TAIL_CHARACTERS = 1500


class ChildFailed(Exception):
    """A process of the run ended, refused or fell silent."""


class Child:
    """One process.

    Args:
        name: what errors and its log file call it.
        process: the process itself.
        log: where its errors go, and its output if it does not talk.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def running(self) -> bool:
        """Say whether it still runs."""
        return self._process.returncode is None

    def failure(self, what: str) -> ChildFailed:
        """Return an error with the end of the log."""
        tail = self._log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL_CHARACTERS:]
        return ChildFailed(f"{self.name}: {what}\n{tail}".rstrip())

    async def ask(self, op: str, limit_s: float = START_SECONDS, **fields: Any) -> dict[str, Any]:
        """Send one request and return its answer.

        Args:
            op: which request.
            limit_s: seconds to wait for the answer; also part of the request.
            fields: the rest of the request.

        Raises:
            ChildFailed: it ended, answered with an error, or not in time.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(
                msgspec.json.encode({"op": op, "limit_s": limit_s, **fields}) + b"\n"
            )
            await self._process.stdin.drain()
        except ConnectionError as exc:
            raise self.failure(f"ended before '{op}'") from exc
        return await self.answer(op, limit_s + STOP_SECONDS)

    async def answer(self, op: str, limit_s: float) -> dict[str, Any]:
        """Return the next line it says, with the errors of `ask`."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(limit_s):
                line = await self._process.stdout.readline()
        except TimeoutError as exc:
            raise self.failure(f"did not answer '{op}' within {limit_s:g} s") from exc
        if not line:
            raise self.failure(f"ended during '{op}'")
        answer = msgspec.json.decode(line, type=dict[str, Any])
        if "error" in answer:
            raise self.failure(f"'{op}' failed: {answer['error']}")
        return answer

    def signal(self, sign: signal.Signals) -> None:
        """Send it a signal.

        Raises:
            ChildFailed: it has ended.
        """
        if not self.running():
            raise self.failure(f"ended before {sign.name}")
        self._process.send_signal(sign)

    async def ended(self, limit_s: float = STOP_SECONDS) -> int:
        """Wait for its end and return its exit status; -9 after SIGKILL.

        Raises:
            ChildFailed: it goes on for longer than `limit_s`.
        """
        try:
            async with asyncio.timeout(limit_s):
                return await self._process.wait()
        except TimeoutError as exc:
            raise self.failure(f"did not end within {limit_s:g} s") from exc

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL when that is not enough."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if not self.running():
                return
            try:
                self._process.send_signal(sign)
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except ProcessLookupError:
                return
            except TimeoutError:
                continue


class Children:
    """All processes of a run; leaving the block ends them.

    Args:
        directory: for their logs.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._all: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop(self._all)

    async def start(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        talks: bool = False,
    ) -> Child:
        """Start a process in the project's root.

        Args:
            name: what errors call it; unique.
            argv: program and arguments.
            env: added to ours.
            talks: it answers requests on stdin (`peer.serve`); wait until it says it is ready.
        """
        log = self._directory / f"{name}.log"
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=ROOT,
                env={**os.environ, **(env or {})},
                stdin=asyncio.subprocess.PIPE if talks else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if talks else errors,
                stderr=errors,
                limit=MAX_LINE_BYTES,
                start_new_session=True,  # Ctrl-C reaches the runner alone, which ends the rest
                preexec_fn=death_signal(signal.SIGTERM),  # and if it is killed, so are they
            )
        child = Child(name, process, log)
        self._all.append(child)
        if talks:
            await child.answer("start", START_SECONDS)
        return child

    async def stop(self, children: Sequence[Child]) -> None:
        """End these, all at once."""
        await asyncio.gather(*(child.stop() for child in children))
        self._all = [child for child in self._all if child not in children]


def python(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module of this project."""
    return [sys.executable, "-m", module, *arguments]
