"""One node as a process: from its start to SIGTERM."""

import asyncio
import contextlib
import signal
from typing import Final

import structlog

from node.node import Node
from router.errors import Unavailable
from router.settings import Settings

_RETRY_S: Final = 0.5
_log = structlog.get_logger()


async def _open(node: Node, wait_s: float, stop: asyncio.Event) -> bool:
    """Open a node, waiting so long for a store that is not there yet; raises as `Node.open`.

    Returns:
        Whether it is open; False when it was told to stop before.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + wait_s
    while not stop.is_set():
        try:
            await node.open()
        except Unavailable:
            if loop.time() >= give_up_at:
                raise
        else:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_S):
                await stop.wait()
    return False


async def serve(settings: Settings, url: str, wait_s: float = 0.0) -> int:
    """Run one node until SIGTERM or SIGINT.

    Args:
        settings: of the cluster and this node.
        url: of the store.
        wait_s: how long to wait for a store that is not there yet.

    Returns:
        The exit status.

    Raises:
        Unavailable, StoreRefused, ServerFailed: the start failed; in words for the user.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    # Before the node is in the registry: from then on, stopping means more than ending.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    node = Node(settings, url)
    node.listen()
    opened = False
    try:
        opened = await _open(node, wait_s, stop)
    finally:
        if not opened:
            await node.close_server()
    if not opened:
        return 0
    _log.info("node is up", node=settings.node.name, address=node.address)
    await stop.wait()
    _log.info("node is stopping", node=settings.node.name)
    await node.stop()
    return 0
