"""What SIGHUP means: that the terminal was closed, or that the settings shall be read again.

The kernel sends it to the programs of a terminal that goes away; people and service managers send
it for the other reason. After the first there is no terminal any more.
"""

import os
import signal
from collections.abc import Callable


def on_hangup(closed: Callable[[], None], told: Callable[[], None]) -> Callable[[], None]:
    """Return what to do on SIGHUP; call it before anything is done about that signal.

    Args:
        closed: called when the terminal of this process is gone.
        told: called when it is there, or there never was one.
    """
    terminal = Terminal()
    return lambda: closed() if terminal.is_closed() else told()


class Terminal:
    """The terminal that this process was started in, if any; look before anything is changed."""

    def __init__(self) -> None:
        # `nohup` is asked for by whoever does not want a terminal to end a program.
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._there = not ignored and _is_there()

    def is_closed(self) -> bool:
        """Say whether there was one, and it is gone."""
        return self._there and not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
