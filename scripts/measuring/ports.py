"""Ports for programs that are about to be started."""

import random
import socket
from contextlib import ExitStack

from router.store.server_files import PORTS


def free_port_range(count: int) -> int:
    """Return the first of `count` consecutive ports of loopback that are free now.

    They lie below those that the system gives to clients: between this look and the start of the
    program that wants one, or while it is started again, any connection could be given it.
    """
    while True:
        first = random.choice(PORTS[:-count])
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
