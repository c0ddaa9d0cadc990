"""A port that several processes of a machine listen on (SO_REUSEPORT), and how one leaves it.

The kernel gives each new connection to one of them by its addresses and ports, and keeps it in the
queue of that one. What is in the queue of a socket that is closed is reset, and so is what is half
open: a client would be refused although others listen. So first no new connection begins here,
those that have begun come in, and then the socket is closed. A first packet that comes meanwhile is
dropped: its client sends it again after a second, and others get it.
"""

import asyncio
import contextlib
import ctypes
import select
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Final

from router.errors import ServerFailed

# Longer than nearly every way there and back, shorter than the second after which it is sent again.
HALF_OPEN_S: Final = 0.5
_SO_ATTACH_FILTER: Final = 26
# A classic BPF program: the flags of the TCP header; only SYN without ACK is dropped.
_FIRST_PACKETS_DROPPED: Final = (
    (0x30, 0, 0, 13),  # load the byte with the flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # then keep none of it
    (0x06, 0, 0, 0xFFFF_FFFF),  # else all
)


def check_platform() -> None:
    """Find out whether a port can be shared here.

    Raises:
        ServerFailed: it cannot.
    """
    if sys.platform != "linux":
        raise ServerFailed("node.reuse_port needs Linux: elsewhere one process gets everything")


async def begin_nothing(sockets: Sequence[socket.socket]) -> None:
    """Let no new connection begin at sockets that listen; return when those that began are taken.

    They must be served meanwhile, and closed at once afterwards. Takes half a second.
    """
    for listener in sockets:
        # What cannot be had costs only connections that are half open in this moment.
        with contextlib.suppress(OSError):
            _drop_first_packets(listener)
    await asyncio.sleep(HALF_OPEN_S)
    queues = select.poll()
    for listener in sockets:
        queues.register(listener, select.POLLIN)
    while queues.poll(0):
        await asyncio.sleep(0)


def _drop_first_packets(listener: socket.socket) -> None:
    code = b"".join(struct.pack("HBBI", *line) for line in _FIRST_PACKETS_DROPPED)
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(_FIRST_PACKETS_DROPPED), ctypes.addressof(held))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
