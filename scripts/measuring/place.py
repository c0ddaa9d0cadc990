"""Where a process runs: on this machine as it is, or on a host that a run has made for itself."""

import asyncio
import ctypes
import os
import shutil
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAMESPACES: Final = Path("/run/netns")
_SYSTEM: Final = "/usr/sbin:/sbin:/usr/bin:/bin"  # not on everybody's PATH
_CLONE_NEWNET: Final = 0x40000000


def tool(name: str) -> str | None:
    """Return where a program of the system is; None if it is not there."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM}")


@dataclass(frozen=True, slots=True)
class Place:
    """A host.

    Args:
        host: its address.
        namespace: the name of its network namespace; "" for the one we are in.
    """

    host: str = "127.0.0.1"
    namespace: str = ""

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs a program there, as the same process."""
        if not self.namespace:
            return list(argv)
        return [tool("ip") or "ip", "netns", "exec", self.namespace, *argv]

    def at(self, port: int) -> str:
        """Return the address of a port there: host, colon, port."""
        return f"{self.host}:{port}"

    async def connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection to a port there, made from there.

        Raises:
            OSError: nobody listens there.
        """
        if not self.namespace:
            return await asyncio.open_connection(self.host, port)
        end = _socket_inside(self.namespace)
        try:
            await asyncio.get_running_loop().sock_connect(end, (self.host, port))
            return await asyncio.open_connection(sock=end)
        except BaseException:
            end.close()
            raise


HERE: Final = Place()


def place_of(address: str) -> tuple[Place, int]:
    """Return the place and the port that `Place.at` has written, for who is in reach of it."""
    host, _, port = address.rpartition(":")
    return Place(host), int(port)


def _socket_inside(namespace: str) -> socket.socket:
    """Return a socket of another network namespace.

    A socket stays in the namespace in which it was made. The thread that goes there to make it ends
    with that, so nothing of ours is left there.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(_enter_and_make, namespace).result()


def _enter_and_make(namespace: str) -> socket.socket:
    handle = os.open(NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), namespace)
    finally:
        os.close(handle)
    end = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    end.setblocking(False)
    return end
