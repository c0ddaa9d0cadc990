"""`switchboard watch`: the cluster at a glance, live."""

import asyncio
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.live import Live

from node.cli.board import Board
from node.cli.common import (
    ConfigOption,
    Invocation,
    JsonOption,
    RedisOption,
    begin,
    open_router,
    print_json,
    run,
)
from node.feed import Trouble
from node.figures import Figures
from router.aio import Router
from router.directory import MAX_PAGE
from router.errors import SwitchboardError

_USERS_EVERY_S: Final = 5.0  # a page of users costs the store a read for each of them
_SHOWN_USERS: Final = 50
_AGAIN_S: Final = 0.1


def watch(
    interval: Annotated[
        float, typer.Option(min=0.1, max=3600, metavar="SECONDS", help="Between two looks.")
    ] = 1.0,
    once: Annotated[
        bool, typer.Option("--once", help="Show one picture, as soon as rates are known.")
    ] = False,
    config: ConfigOption = None,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch nodes, rates and users, until Ctrl-C.

    With --json each look is one line. Where there is no terminal, one picture follows the other.
    """
    invocation = begin(config, redis, as_json)
    run(_watch(invocation, interval, once))


async def _watch(invocation: Invocation, interval_s: float, once: bool) -> None:
    console = Console(file=sys.stdout)
    async with open_router(invocation) as router:
        looker = _Looker(router)
        plain = _print_line if invocation.as_json else _print_picture(console)
        if once:
            # By then a node has beaten again, if late, or its lease has ended.
            plain(looker, await looker.look_until_known(invocation.settings.lease.ttl_s))
        elif invocation.as_json or not console.is_terminal or console.is_dumb_terminal:
            await _go_on(looker, plain, interval_s)
        else:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                await _go_on(looker, _draw_over(console, live), interval_s)


class _Looker:
    """Looks at the cluster, and keeps the board up to date.

    Args:
        router: entered; asks, and never becomes an endpoint.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._figures = Figures()
        self._users_at = -_USERS_EVERY_S
        self.board = Board(router.member.store.address)

    async def look(self) -> msgspec.Struct:
        """Return what the cluster is like now, or why nobody can say."""
        try:
            endpoints = await self._router.member.leases.everybody()
            if time.monotonic() - self._users_at >= _USERS_EVERY_S:
                await self._look_at_users()
        except SwitchboardError as exc:
            self.board.trouble = str(exc)
            return Trouble(exc.code, str(exc))
        figures = self._figures.read(endpoints, time.monotonic(), time.time())
        self.board.take(figures)
        return figures

    async def look_until_known(self, within_s: float) -> msgspec.Struct:
        """Look until every node has been seen to beat twice, so long at most; return the last.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        give_up_at = time.monotonic() + within_s
        while True:
            found = self._figures.read(
                await self._router.member.leases.everybody(), time.monotonic(), time.time()
            )
            if self._figures.known or time.monotonic() >= give_up_at:
                await self._look_at_users()
                self.board.take(found)
                return found
            await asyncio.sleep(_AGAIN_S)

    async def _look_at_users(self) -> None:
        users, cursor = await self._router.page(limit=MAX_PAGE)
        self._users_at = time.monotonic()
        self.board.users = sorted(users, key=lambda user: -user.since)[:_SHOWN_USERS]
        self.board.of_first = MAX_PAGE if cursor is not None else None


Show = Callable[[_Looker, msgspec.Struct], None]


async def _go_on(looker: _Looker, show: Show, interval_s: float) -> None:
    """Look and show until SIGINT or SIGTERM; show again when the terminal has changed its size."""
    stop, woken = asyncio.Event(), asyncio.Event()
    _listen(stop, woken)
    while not stop.is_set():
        found = await looker.look()
        show(looker, found)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(interval_s):
                while not stop.is_set():
                    await woken.wait()
                    woken.clear()
                    show(looker, found)


def _listen(stop: asyncio.Event, woken: asyncio.Event) -> None:
    def ended() -> None:
        stop.set()
        woken.set()

    if threading.current_thread() is threading.main_thread():
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ended)
        loop.add_signal_handler(signal.SIGWINCH, woken.set)


def _print_line(_: _Looker, found: msgspec.Struct) -> None:
    print_json(found)


def _print_picture(console: Console) -> Show:
    def show(looker: _Looker, _: msgspec.Struct) -> None:
        console.print(_picture(looker.board, console, None))

    return show


def _draw_over(console: Console, live: Live) -> Show:
    def show(looker: _Looker, _: msgspec.Struct) -> None:
        live.update(_picture(looker.board, console, console.height), refresh=True)

    return show


def _picture(board: Board, console: Console, height: int | None) -> RenderableType:
    unicode = console.encoding.lower().startswith("utf")
    return board.draw(console.width, height, unicode=unicode)


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command("watch", epilog="Example: switchboard watch --interval 2")(watch)
