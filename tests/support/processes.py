"""Programs of ours run as a user runs them: in processes of their own."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from router.orphans import death_signal
from scripts.measuring.ports import free_port_range

__all__ = [
    "PROC",
    "Switchboard",
    "command_line",
    "free_port_range",
    "is_gone",
    "wait_until",
]

PROC: Final = Path("/proc")  # Linux only
_DEADLINE_S: Final = 30.0


def is_gone(pid: int) -> bool:
    """Say whether a process has ended; one that nobody has waited for counts as ended."""
    state = _ask_ps(pid, "stat") if not PROC.exists() else _read_state(pid)
    return state in ("", "Z")


def command_line(pid: int) -> str:
    """Return a process's arguments, as everybody on the machine can read them."""
    if not PROC.exists():
        return _ask_ps(pid, "args")
    return (PROC / str(pid) / "cmdline").read_text(errors="replace")


def _read_state(pid: int) -> str:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _ask_ps(pid: int, column: str) -> str:
    command = ["ps", "-ww", "-o", f"{column}=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = _DEADLINE_S) -> None:
    """Look again and again until `condition` holds; fail when the time is over."""
    give_up_at = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.01)


class Switchboard:
    """One run of `switchboard` in a folder of its own.

    Args:
        folder: where it runs; the store's data goes there too.
        arguments: of the command.
        environment: variables beside those of this process.
    """

    def __init__(
        self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "node.cli", *arguments],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A test run that is killed leaves nothing.
            preexec_fn=death_signal(signal.SIGTERM),  # noqa: PLW1509 - calls prctl and no more
        )
        self._out: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=_read, args=(self._process.stdout, self._out.put)),
            threading.Thread(target=_read, args=(self._process.stderr, self.said.append)),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_DEADLINE_S)
            finally:
                self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()

    def __repr__(self) -> str:
        return f"<{self._process.args!r} said {self.said}>"  # what a failed test shows of it

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def line(self) -> str:
        """Return the next line of its standard output; wait for it."""
        try:
            return self._out.get(timeout=_DEADLINE_S)
        except queue.Empty:
            raise AssertionError(f"it printed nothing; it said: {self.said}") from None

    def document(self) -> Any:
        """Return the next line of its standard output as JSON."""
        return json.loads(self.line())

    def heard(self, words: str) -> bool:
        """Say whether a line with these words has come on its standard error."""
        return any(words in line for line in self.said)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end and return the exit status."""
        status = self._process.wait(_DEADLINE_S)
        for reader in self._readers:
            reader.join()
        return status


def _read(stream: IO[str], take: Callable[[str], object]) -> None:
    with stream:
        for line in stream:
            take(line.rstrip("\n"))
