"""Program: holds up packets between hosts; it runs on the switch.

The kernel has a module for that, `netem`, which not every machine has. Here the switch hands what
shall be late to a device of ours, from which it comes back after its time, and in its order.
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import struct
from collections import deque
from typing import Final

from scripts.measuring.peer import Request, serve

DEVICE: Final = "late"
_TUN: Final = "/dev/net/tun"
_TUNSETIFF: Final = 0x400454CA
_TAP_WITHOUT_HEADER: Final = 0x0002 | 0x1000
_LARGEST_FRAME: Final = 65_536
_FRAMES_AT_ONCE: Final = 64
# A frame of Ethernet: two addresses, what is in it; of an IPv4 packet the source, the destination.
_KIND, _IPV4, _ENDS = slice(12, 14), b"\x08\x00", slice(26, 34)


class DelayLine:
    """Takes frames from a device and gives them back to it later.

    Args:
        device: descriptor of the device; does not block.
    """

    def __init__(self, device: int) -> None:
        self._device = device
        self._delays: dict[bytes, float] = {}
        self._held: dict[float, deque[tuple[float, bytes]]] = {}
        asyncio.get_running_loop().add_reader(device, self._take)

    async def set(self, request: Request) -> Request:
        """Take the delays that count from now on: each a source, a destination, seconds."""
        self._delays = {
            _bytes_of(source) + _bytes_of(destination): seconds
            for source, destination, seconds in request["delays"]
        }
        return {}

    def _take(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_FRAMES_AT_ONCE):
            try:
                frame = os.read(self._device, _LARGEST_FRAME)
            except BlockingIOError:
                return
            seconds = self._delays.get(frame[_ENDS], 0.0) if frame[_KIND] == _IPV4 else 0.0
            held = self._held.setdefault(seconds, deque())
            held.append((loop.time() + seconds, frame))
            if len(held) == 1:
                loop.call_later(seconds, self._give, held)

    def _give(self, held: deque[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        while held:
            wait_s = held[0][0] - loop.time()
            if wait_s > 0:
                loop.call_later(wait_s, self._give, held)
                return
            with contextlib.suppress(BlockingIOError):  # a packet is lost, as packets may be
                os.write(self._device, held.popleft()[1])


def _bytes_of(address: str) -> bytes:
    return bytes(int(part) for part in address.split("."))


def _open_device() -> int:
    device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", DEVICE.encode(), _TAP_WITHOUT_HEADER))
    return device


async def main() -> None:
    """Serve the runner until it goes."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    line = DelayLine(_open_device())
    await serve({"set": line.set}, {"ready": True})


if __name__ == "__main__":
    asyncio.run(main())
