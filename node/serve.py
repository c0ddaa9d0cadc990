"""One node as a process: from its start to the end of its drain."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Final

import structlog
from structlog.contextvars import bind_contextvars

from node.node import Node
from node.respawn import ALL_LEAVE
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


class _Signals:
    """The first signal begins the drain, unless an order has; the second one ends it at once.

    SIGHUP makes the node read again what may change.
    """

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.all_leave = False
        self._came_before = False
        self.on_reload: Callable[[], None] = lambda: None  # before the node is up, do nothing
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, ALL_LEAVE):
            loop.add_signal_handler(number, self._came, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        self.on_reload()

    def _came(self, number: signal.Signals) -> None:
        self.all_leave = self.all_leave or number is ALL_LEAVE
        if self._came_before:
            _log.warning("told twice to stop, ending at once; another node rescues what is left")
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._came_before = True
        self.stop.set()


async def serve(settings: Settings, url: str, wait_s: float = 0.0) -> int:
    """Run one node until SIGTERM, SIGINT or an order to drain, and drain it then.

    Args:
        settings: of the cluster and this node.
        url: of the store.
        wait_s: how long to wait for a store that is not there yet.

    Returns:
        The exit status.

    Raises:
        Unavailable, StoreRefused, ServerFailed: the start failed; in words for the user.
    """
    # Before the node is in the registry: from then on, stopping means more than ending.
    signals = _Signals()
    stop = signals.stop
    node = Node(settings, url, on_drain=stop.set)
    # Before the first task: all of them say in every line whose they are.
    bind_contextvars(node=settings.node.name, endpoint=lambda: node.member.endpoint.id)
    node.listen()
    opened = False
    try:
        opened = await _open(node, wait_s, stop)
    finally:
        if not opened:
            await node.close_server()
    if not opened:
        return 0
    signals.on_reload = node.listening.reload_certificate
    apart = {"api": node.api_address} if settings.api.apart else {}
    _log.info("node is up", address=node.listening.url, **apart)
    await stop.wait()
    _log.info("node is draining")
    await node.stop(all_leave=signals.all_leave)
    return 0
