"""One node as a process: from its start to the end of its drain."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
from structlog.contextvars import bind_contextvars

from node import descriptors
from node.node import Node
from node.notify import READY, STOPPING, Notify
from node.reload import Put, Reload
from node.respawn import ALL_LEAVE
from node.terminal import on_hangup
from router.errors import Unavailable
from router.settings import LimitSettings, Settings

_RETRY_S: Final = 0.5
_NOBODY: Final = Notify()
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


async def _share(node: Node, stop: asyncio.Event) -> None:
    """Listen where others do, if told so, once this node takes sessions; not if it stops before."""
    while not stop.is_set() and node.not_ready() is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_S):
                await stop.wait()
    if not stop.is_set():
        node.listen_shared()


class _Signals:
    """The first signal begins the drain, unless an order has; the second one ends it at once.

    SIGHUP has the settings read again, unless it says that the terminal was closed.
    """

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.all_leave = False
        self._came_before = False
        self.reload: Callable[[], None] | None = None

    def heed(self) -> None:
        """Take signals from now on; what they log says whose it is, if that is bound by now."""
        loop = asyncio.get_running_loop()
        hangup = on_hangup(lambda: self._came(signal.SIGHUP), self._reread)
        loop.add_signal_handler(signal.SIGHUP, hangup)
        for number in (signal.SIGTERM, signal.SIGINT, ALL_LEAVE):
            loop.add_signal_handler(number, self._came, number)

    def _reread(self) -> None:
        if self.reload is not None:
            self.reload()

    def _came(self, number: signal.Signals) -> None:
        self.all_leave = self.all_leave or number is ALL_LEAVE
        if self._came_before:
            _log.warning("told twice to stop, ending at once; another node rescues what is left")
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._came_before = True
        self.stop.set()


def _make_room(node: Node, limits: LimitSettings, *, at_home: bool) -> None:
    """Have a descriptor for each connection there may be, or take fewer sessions."""
    wanted = descriptors.wanted(limits)
    files = descriptors.claim(wanted)
    node.admission.room = None
    if files < wanted:
        node.admission.room = descriptors.sessions_that_fit(files, limits)
        # On one's own machine nobody waits for 20,000 clients.
        log = _log.debug if at_home else _log.warning
        log(
            "too few files may be open for limits.sessions; raise LimitNOFILE or ulimit -n",
            files=files,
            sessions=node.admission.room,
        )


def _put(node: Node, settings: Settings) -> None:
    """Put in force what a node can change while it runs; raises as `Gate.reload`."""
    node.gate.reload(settings.auth)
    node.limits.now = settings.limits
    _make_room(node, settings.limits, at_home=settings.auth.mode == "dev")
    node.listening.reload_certificate()


async def serve(
    settings: Settings,
    url: str,
    wait_s: float = 0.0,
    read: Callable[[], Settings] | None = None,
    *put: Put,
    notify: Notify = _NOBODY,
) -> int:
    """Run one node until SIGTERM, SIGINT or an order to drain, and drain it then.

    Args:
        settings: of the cluster and this node.
        url: of the store.
        wait_s: how long to wait for a store that is not there yet.
        read: reads the settings again on SIGHUP; None when they stay as they are.
        put: puts those that are not the node's in force.
        notify: tells the service manager, if there is one.

    Returns:
        The exit status.

    Raises:
        Unavailable, StoreRefused, ServerFailed: the start failed; in words for the user.
    """
    signals = _Signals()
    stop = signals.stop
    node = Node(settings, url, on_drain=stop.set)
    # Before the first task: all of them say in every line whose they are.
    bind_contextvars(node=settings.node.name, endpoint=lambda: node.member.endpoint.id)
    # Before the node is in the registry: from then on, stopping means more than ending.
    signals.heed()
    if read is not None:
        signals.reload = Reload(settings, read, partial(_put, node), *put).run
    _make_room(node, settings.limits, at_home=settings.auth.mode == "dev")
    node.listen()
    opened = False
    try:
        opened = await _open(node, wait_s, stop)
    finally:
        if not opened:
            await node.close_server()
    if not opened:
        return 0
    if node.gate.wants_keys and not settings.api.keys_file:
        _log.warning("nobody may call the API: api.keys_file names no file")
    apart = {"api": node.api_address} if settings.api.apart else {}
    try:
        await _share(node, stop)
        _log.info("node is up", address=node.listening.url, **apart)
        notify.tell(READY)
        await stop.wait()
    finally:
        notify.tell(STOPPING)
        _log.info("node is draining")
        await node.stop(all_leave=signals.all_leave)
    return 0
