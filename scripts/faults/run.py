"""A whole run: starts everything, sends and breaks for a while, mends, waits for rest, looks."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Self

from router.store.remains import TOKEN_TTL_MS
from scripts.faults.entries import Final, Run
from scripts.faults.ground import make_ground, start_store
from scripts.faults.hurting import Hurting
from scripts.faults.ledger import LOGS, Pen, now, write_run
from scripts.faults.looking import Looking
from scripts.faults.options import Options
from scripts.faults.settings import INBOX_CAP, MAIL_CAP, PREFIX, settings_of
from scripts.faults.slots import Nodes
from scripts.faults.steps import CLIENTS, SENDER, Step, make_plan
from scripts.measuring.children import Child, Children, python
from scripts.measuring.plan import user_name
from scripts.measuring.store import Stores

RUNNER_FILE = "runner.jsonl"
Progress = Callable[[str, int], None]
"""Takes what is being done, and how many seconds of the run have passed since the last call."""
_CONNECT_S = 60.0
_MEND_S = 60.0
_LOOK_S = 0.25
_QUIET_S = 2.0  # several times as long as a ledger keeps what is not written yet
_TOKEN_S = TOKEN_TTL_MS / 1000


def describe_run(options: Options) -> Run:
    """Return what the ledger says of a run that begins now."""
    started = now()
    return Run(
        seed=options.seed,
        seconds=options.seconds,
        nodes=options.nodes,
        users=options.users,
        rate=options.rate,
        faults=list(options.faults),
        clients=options.clients,
        started=started,
        wall_ns=time.time_ns() - started,
        lease_s=options.lease_s,
        heartbeat_s=options.heartbeat_s,
        inbox_cap=INBOX_CAP,
        mail_cap=MAIL_CAP,
        timeout_s=options.timeout_s,
        pages=list(page_users(options)),
        return_s=options.return_s,
        silence_s=options.silence_s,
        store=options.store,
    )


def page_users(options: Options) -> Sequence[str]:
    """Return the users of the pages: those behind all others."""
    return [user_name(options.users + index) for index in range(options.pages)]


class Stage:
    """A running cluster with its clients and its sender; an async context manager.

    Args:
        options: of the run.
        folder: the ledger.
        stores: owns the store.
        progress: told of each step.
    """

    def __init__(self, options: Options, folder: Path, stores: Stores, progress: Progress) -> None:
        self.options = options
        self.folder = folder
        self.progress = progress
        self._stores = stores
        self._exits = AsyncExitStack()
        self._owners = self._exits.enter_context(ExitStack())  # of what outlives the processes
        self.pen: Pen
        self.nodes: Nodes
        self.clients: Child
        self.pages: Child | None = None
        self.sender: Child
        self.looking: Looking
        self.hurting: Hurting

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._exits.aclose()

    async def _start(self) -> None:
        options, enter = self.options, self._exits.enter_async_context
        self.progress("starting the store and the nodes", 0)
        base = start_store(self._owners, options, self._stores)
        children = await enter(Children(self.folder / LOGS))
        ground = await make_ground(self._exits, options, base, children, self.folder)
        self.pen = await enter(Pen(self.folder / RUNNER_FILE))
        self.nodes = await enter(Nodes(options, ground, children, self.pen))
        await asyncio.gather(*(slot.start() for slot in self.nodes.slots.values()))
        ledger = str(self.folder)
        command = ground.place(CLIENTS).command(python("scripts.faults.clients", ledger))
        env = ground.environment(CLIENTS)
        self.clients = await children.start("clients", command, env, talks=True)
        if options.pages:
            command = python("scripts.faults.pages", ledger)
            self.pages = await children.start("pages", command, talks=True)
        command = ground.place(SENDER).command(python("scripts.faults.sender", ledger))
        env = {**settings_of(options), **ground.environment(SENDER)}
        self.sender = await children.start("sender", command, env, talks=True)
        users = [user_name(index) for index in range(options.users)] + [*page_users(options)]
        self.looking = Looking(ground.reader(), PREFIX, users, self.pen)
        self._exits.push_async_callback(self.looking.close)
        self.hurting = Hurting(
            self.nodes, ground, self.clients, self.looking, self.pen, options.lease_s
        )

    async def connect(self) -> None:
        """Bring the clients to life; return when every one has its welcome."""
        self.progress("connecting the clients", 0)
        await self.clients.ask(
            "start",
            _CONNECT_S,
            seed=self.options.seed,
            users=self.options.users,
            nodes=list(self.nodes.addresses),
            durable=self.options.durable > 0,
            clients=self.options.clients,
            ping_s=self.options.ping_s,
            silence_s=self.options.silence_s,
        )
        if self.pages is not None:
            await self.pages.ask(
                "start",
                _CONNECT_S,
                users=page_users(self.options),
                nodes=list(self.nodes.addresses),
                ping_s=self.options.ping_s,
            )

    async def send(self) -> None:
        """Begin to send; returns at once."""
        options = self.options
        await self.sender.ask(
            "start",
            seed=options.seed,
            users=options.users,
            pages=page_users(options),
            nodes=list(self.nodes.addresses),
            rate=options.rate,
            seconds=options.seconds,
            durable=options.durable,
            timeout_s=options.timeout_s,
        )

    async def hurt(self, plan: Sequence[Step]) -> None:
        """Break things by a plan; return when the last thing is mended and the time is over."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(self._tick(begun))
            steps = []
            for step in plan:
                await asyncio.sleep(begun + step.at_s - loop.time())
                steps.append(group.create_task(self.hurting.perform(step)))
            await ticking
            if steps:
                await asyncio.wait(steps)

    async def _tick(self, begun: float) -> None:
        loop = asyncio.get_running_loop()
        told = 0
        while (passed := loop.time() - begun) < self.options.seconds:
            whole = int(passed)
            what = ", ".join(f"{kind} {n}" for kind, n in self.hurting.done.items())
            self.progress(what[:44] or "sending", whole - told)
            told = whole
            await asyncio.sleep(min(1.0, self.options.seconds - passed))
        self.progress("mending", max(0, int(self.options.seconds) - told))

    async def rest(self) -> Final:
        """Have every client back and every answer heard, then wait until nothing moves."""
        self.progress("waiting for answers", 0)
        await self._answered()
        receivers = [child for child in (self.clients, self.pages) if child is not None]
        devices = sum([(await child.ask("calm", _CONNECT_S))["devices"] for child in receivers])
        self.progress("waiting for rest", 0)
        options, loop = self.options, asyncio.get_running_loop()
        pids = [slot.pid for slot in self.nodes.slots.values()] + [self.sender.pid]
        # Nobody follows a rescuer that was killed before its token ends.
        token_s = max(0.0, self.hurting.rescuer_killed_at + _TOKEN_S - loop.time())
        rest_s, extra_s = options.rest_s + token_s, _TOKEN_S + 4 * options.lease_s
        final = await self.looking.final(pids, devices, rest_s, extra_s)
        await self._quiet()
        for child in (*receivers, self.sender):
            await child.ask("end")
        return final

    async def _quiet(self) -> None:
        """Wait until nobody has read anything for a while: mailboxes are replayed by then."""
        files = [file for file in self.folder.glob("*.jsonl") if file.name != RUNNER_FILE]
        async with asyncio.timeout(_MEND_S):
            before = -1
            while (size := sum(file.stat().st_size for file in files)) != before:
                before = size
                await asyncio.sleep(_QUIET_S)

    async def _answered(self) -> None:
        async with asyncio.timeout(_MEND_S):
            while True:
                state = await self.sender.ask("state")
                if state["done"] and not state["waiting"]:
                    return
                await asyncio.sleep(_LOOK_S)


async def run(
    options: Options,
    folder: Path,
    stores: Stores,
    progress: Progress,
    plan: Sequence[Step] | None = None,
) -> None:
    """Fill a ledger.

    Args:
        options: what to do.
        folder: of the ledger; made if it is not there.
        stores: owns the store.
        progress: told of each step.
        plan: what to break; None for what the seed draws.

    Raises:
        ChildFailed, ServerFailed, ServersFailed: what was broken could not be mended.
    """
    write_run(folder, describe_run(options))
    async with Stage(options, folder, stores, progress) as stage:
        await stage.connect()
        over = asyncio.Event()
        watching = asyncio.create_task(stage.looking.watch(over), name="watch the store")
        try:
            await stage.send()
            await stage.hurt(make_plan(options) if plan is None else plan)
        finally:
            over.set()
            await watching
        stage.pen.note(await stage.rest())
    progress("done", 0)
