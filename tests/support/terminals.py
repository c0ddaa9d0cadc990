"""Terminals for the commands of the documents: a shell for those that end, a program that stays."""

import queue
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.support.processes import wait_until

DEADLINE_S: Final = 30.0


class Shell:
    """One bash for a whole document, so that `source`, `cd` and `$?` mean what they say.

    Args:
        folder: where it starts.
        environment: all of it.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = _start(["bash", "--noprofile", "--norc"], folder, environment)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = _read(self._process, self._lines.put)

    def run(self, command: str) -> tuple[int, list[str]]:
        """Run a command to its end; return its status and what it said, errors included."""
        mark = f"end-{secrets.token_hex(8)}"
        told = f'status=$?; printf "\\n{mark} %s\\n" "$status"; (exit "$status")'
        self._write(f"{{ {command}\n}} </dev/null; {told}\n")
        said: list[str] = []
        give_up_at = time.monotonic() + DEADLINE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, give_up_at - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"'{command}' did not end; it said {said}") from None
            assert line is not None, f"'{command}' ended the shell; it said {said}"
            if line.startswith(f"{mark} "):
                return int(line.split()[1]), said
            said.append(line)

    def close(self) -> None:
        """End the shell."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()


class Program:
    """A program that stays in its terminal until it is stopped.

    Args:
        folder: where it starts.
        environment: all of it.
        command: in bash; its last line is the program, what stands before prepares it.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], command: str) -> None:
        before, _, last = command.rpartition("\n")
        self._process = _start(["bash", "-c", f"{before}\nexec {last}"], folder, environment)
        self.said: list[str] = []
        self._reader = _read(self._process, self._take)

    def has_ended(self) -> bool:
        """Say whether it runs no more."""
        return self._process.poll() is not None

    def type(self, line: str) -> None:
        """Type a line, with its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def stop(self) -> int:
        """Press Ctrl-C; return the exit status."""
        if not self.has_ended():
            self._process.send_signal(signal.SIGINT)
        wait_until(self.has_ended, f"it stops; it said {self.said}", DEADLINE_S)
        self._end()
        return self._process.wait()

    def kill(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._end()

    def _take(self, line: str | None) -> None:
        if line is not None:
            self.said.append(line)

    def _end(self) -> None:
        self._reader.join(DEADLINE_S)
        if self._process.stdin is not None:
            self._process.stdin.close()


def _start(
    command: list[str], folder: Path, environment: Mapping[str, str]
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=_hear_ctrl_c,  # noqa: PLW1509 - one system call, before bash
    )


def _hear_ctrl_c() -> None:
    # A test run in the background of a shell ignores SIGINT, and so would all its children.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _read(process: "subprocess.Popen[str]", take: Callable[[str | None], None]) -> threading.Thread:
    """Hand over each line of what the process says, then None; in a thread that is returned."""
    stream = process.stdout
    assert stream is not None

    def pump() -> None:
        with stream:
            for line in stream:
                take(line.rstrip("\n"))
        take(None)

    reader = threading.Thread(target=pump)
    reader.start()
    return reader
