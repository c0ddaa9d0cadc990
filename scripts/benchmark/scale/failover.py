"""A master of a Redis Cluster is killed under durable messages: what is lost, and for how long."""

import asyncio
import math
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from router.aio import Router
from router.client import Client
from router.errors import SwitchboardError
from router.model import Outcome
from router.settings import Settings
from scripts.benchmark.scale.rows import Row, once
from scripts.benchmark.scale.stage import Stage
from scripts.measuring.cluster import free_ports, start_node
from scripts.measuring.peer import STORE_URL
from scripts.measuring.redis_cluster import RedisCluster

AIM_S: Final = 15.0
RATE: Final = 300
_USERS: Final = 60
_NODES: Final = 3
_NODE_TIMEOUT_MS: Final = 5_000
_BEFORE_S: Final = 3.0
_AFTER_S: Final = 25.0
_QUICK_AFTER_S: Final = 16.0
_WAIT_S: Final = 30.0
_PROMISED: Final = (Outcome.QUEUED, Outcome.DELIVERED, Outcome.ACKED)
_STORE: Final[dict[str, Any]] = {"redis": {"mode": "cluster"}, "mailbox": {"min_replicas": 1}}


@dataclass(slots=True)
class Book:
    """What was sent, what was said of it, and what came.

    Args:
        said: number of the message -> user and outcome; None for an error.
        came: number of the message -> when it was read.
    """

    said: dict[int, tuple[str, Outcome | None]] = field(default_factory=dict)
    came: dict[int, float] = field(default_factory=dict)

    def missing(self) -> list[int]:
        """Return the messages that were promised and have not come."""
        return [
            number
            for number, (_, outcome) in self.said.items()
            if outcome in _PROMISED and number not in self.came
        ]

    def back_at(self) -> float:
        """Return when everybody was reached for good; infinity if somebody never was."""
        users = {user for user, _ in self.said.values()}
        return max((self._user_back_at(user) for user in users), default=math.inf)

    def _user_back_at(self, user: str) -> float:
        """Return when a user had the first of those messages behind which none is missing."""
        back = math.inf
        for number in sorted((n for n, (who, _) in self.said.items() if who == user), reverse=True):
            if number not in self.came:
                break
            back = self.came[number]
        return back


async def measure(stage: Stage) -> list[Row]:
    """Send to everybody, kill a master that holds a node's inbox, and count."""
    book = Book()
    async with AsyncExitStack() as stack:
        stage.tell("starting a Cluster of three masters and three replicas", 0.0)
        servers = RedisCluster(stage.directory / "failover", node_timeout_ms=_NODE_TIMEOUT_MS)
        stack.enter_context(servers)
        urls = await _start_nodes(stage, servers)
        router = Router.connect(servers.url, Settings.model_validate(_STORE))
        await stack.enter_async_context(router)
        for number in range(_USERS):
            user = f"user-{number}"
            client = Client(urls[number % _NODES :] + urls[: number % _NODES], user=user)
            await stack.enter_async_context(client)
            reading = asyncio.create_task(_read(client, book), name=f"read {user}")
            stack.push_async_callback(_stop, reading)
        killed_at = await _send_and_kill(stage, servers, router, book)
        await _settle(book)
    lost, back_s = len(book.missing()), max(0.0, book.back_at() - killed_at)
    size = f"{len(book.said):,} messages, {RATE}/s"
    note = f"min_replicas 1, {_NODES} nodes, cluster-node-timeout {_NODE_TIMEOUT_MS / 1000:g} s"
    words = (
        f"{note}; {_share(book):.0%} of the outcomes were `delivered`: without a replica, what its "
        "master stores is `unknown`"
    )
    return [
        Row("lost after a master was killed", once(lost), "messages", 0, size, words, digits=0),
        Row("all reachable after it", once(back_s), "s", AIM_S, f"{_USERS} sessions", note),
    ]


async def _start_nodes(stage: Stage, servers: RedisCluster) -> list[str]:
    env = {
        STORE_URL: servers.url,
        "SWITCHBOARD_REDIS__MODE": "cluster",
        "SWITCHBOARD_MAILBOX__MIN_REPLICAS": "1",
    }
    ports = free_ports(_NODES)
    starting = [
        start_node(stage.children, f"failover-n{k}", f"n{k}", port, env)
        for k, port in enumerate(ports)
    ]
    await asyncio.gather(*starting)
    return [f"ws://127.0.0.1:{port}/ws" for port in ports]


async def _read(client: Client, book: Book) -> None:
    loop = asyncio.get_running_loop()
    async for message in client:
        book.came[message.data["n"]] = loop.time()


async def _stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


async def _send_and_kill(stage: Stage, servers: RedisCluster, router: Router, book: Book) -> float:
    """Send at a steady rate for a while; return when the master was killed."""
    loop = asyncio.get_running_loop()
    began, killed_at, number = loop.time(), math.inf, 0
    sends: set[asyncio.Task[None]] = set()
    last_s = _BEFORE_S + (_QUICK_AFTER_S if stage.options.quick else _AFTER_S)
    while (passed := loop.time() - began) < last_s:
        if passed >= _BEFORE_S and killed_at == math.inf:
            node = next(node for node in await router.nodes() if node.role == "node")
            inbox = router.member.keys.inbox(node.endpoint)
            killed_at = loop.time()
            (await asyncio.to_thread(servers.master_of, inbox)).kill()
        while number < RATE * passed:
            number += 1
            user = f"user-{number % _USERS}"
            task = asyncio.create_task(_send(router, user, number, book))
            sends.add(task)
            task.add_done_callback(sends.discard)
        stage.tell(f"{number:,} messages", passed / last_s)
        await asyncio.sleep(0.01)
    if sends:
        await asyncio.wait(sends)
    return killed_at


async def _send(router: Router, user: str, number: int, book: Book) -> None:
    try:
        result = await router.send(user, {"n": number}, durable=True)
        book.said[number] = user, result.outcome
    except SwitchboardError:
        book.said[number] = user, None


async def _settle(book: Book) -> None:
    """Wait for what was promised: a gap is found by the next message, or by the sweep."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + _WAIT_S
    while book.missing() and loop.time() < give_up_at:
        await asyncio.sleep(0.1)


def _share(book: Book) -> float:
    good = sum(outcome is Outcome.DELIVERED for _, outcome in book.said.values())
    return good / max(1, len(book.said))
