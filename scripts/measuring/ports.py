"""Ports for programs that are about to be started."""

import atexit
import random
import socket
from collections import deque
from contextlib import ExitStack
from typing import Final

from router.store.server_files import HOST

# Below those that the system gives to clients: between a look and the start of the program that
# wants a port, or while it is started again, any connection could be given it. The embedded store
# takes its own from those in between.
PORTS: Final = range(10_000, 20_000)
# What says that a port is promised, to other processes too: a UDP socket of the same number, which
# none of our programs wants. The oldest are let go: whoever asked listens there by then.
_promises: Final[deque[ExitStack]] = deque()
_KEPT: Final = 64


@atexit.register
def _let_go() -> None:
    while _promises:
        _promises.popleft().close()


def free_port_range(count: int) -> int:
    """Return the first of `count` consecutive ports of loopback that are free now.

    No other call is given them for a good while, here or elsewhere on the machine.
    """
    while True:
        first = random.choice(PORTS[:-count])
        with ExitStack() as looks, ExitStack() as promises:
            try:
                for port in range(first, first + count):
                    looks.enter_context(socket.create_server((HOST, port)))
                    promise = promises.enter_context(socket.socket(type=socket.SOCK_DGRAM))
                    promise.bind((HOST, port))
            except OSError:
                continue
            _promises.append(promises.pop_all())
            if len(_promises) > _KEPT:
                _promises.popleft().close()
            return first
