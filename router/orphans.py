"""Programs we start must not outlive us, even when nothing of ours runs any more to stop them."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # prctl(2), Linux only
_LOOK_EVERY_S: Final = 1.0


def death_signal(number: signal.Signals) -> Callable[[], None] | None:
    """Return what a foreign program's `preexec_fn` must be, so that it ends with this process.

    Args:
        number: the signal it gets when this process has ended in whatever way.

    Returns:
        A function for the child, between fork and exec; None where the kernel cannot do this.

    The kernel watches the thread that forks: start such programs from the main thread.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here, so that the child only calls it
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended before the request
            os._exit(1)

    return ask


def die_with_parent(parent: int) -> None:
    """Make this process end at once when its parent ends, however that happens.

    Args:
        parent: process id that the parent gave; if it is not our parent any more, we end now.
    """
    if sys.platform == "linux":
        # SIGKILL: it also ends a process that is stopped or whose loop is stuck.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True, name="parent-watch").start()
    if os.getppid() != parent:
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGKILL)
