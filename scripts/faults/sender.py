"""Program: the sender of a run; each call and each answer goes into the ledger."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import structlog
import uvloop

from router.aio import Router
from router.errors import SwitchboardError
from router.settings import load
from scripts.faults.entries import Sent, Told
from scripts.faults.ledger import Pen, now
from scripts.measuring.http import post
from scripts.measuring.peer import Request, describe, serve
from scripts.measuring.place import place_of
from scripts.measuring.plan import user_name

FILE = "sends.jsonl"
THROUGH = "SWITCHBOARD_CHAOS_THROUGH"  # the store's address through a proxy
KEY = "SWITCHBOARD_CHAOS_KEY"  # of the API, where nodes ask for one
BROKEN = "broken"
_ORIGINS = 4
_GRACE_S = 4.0
_LONG_PAD = 0.1  # share of the messages that are long
_PAD_BYTES = (10, 60)
_LONG_PAD_BYTES = (500, 4_000)
_CONFIRM = (("delivered", 0.7), ("accepted", 0.2), ("written", 0.1))
# `acked` needs a client that acknowledges by itself; to others it is `unknown` when time runs out.
_CONFIRM_DURABLE = (("delivered", 0.75), ("accepted", 0.15), ("written", 0.05), ("acked", 0.05))
_TO_PAGES = 0.1  # share of the messages that are for pages, where there are some
_TTL = 0.05  # share of the messages that expire soon


class Drawing:
    """Draws messages; the same seed draws the same ones.

    Args:
        seed: of the run.
        users: how many there are.
        ways: how a message may be sent.
        durable: share of the messages that are to be kept.
        pages: users of pages, who get a share of their own.
    """

    def __init__(
        self,
        seed: int,
        users: int,
        ways: Sequence[str],
        durable: float,
        pages: Sequence[str] = (),
    ) -> None:
        self._rng = Random(f"sender {seed}")
        self._users = users
        self._ways = ways
        self._durable = durable
        self._pages = pages

    def draw(self, n: int) -> Sent:
        """Return message number `n` as it is about to be sent; its time is still to be set."""
        rng = self._rng
        durable = rng.random() < self._durable
        shares = _CONFIRM_DURABLE if durable else _CONFIRM
        words, weights = [word for word, _ in shares], [weight for _, weight in shares]
        low, high = _LONG_PAD_BYTES if rng.random() < _LONG_PAD else _PAD_BYTES
        return Sent(
            0,
            n,
            self._user(),
            f"sender{rng.randrange(_ORIGINS)}",
            rng.choice(self._ways),
            durable=durable,
            confirm=rng.choices(words, weights)[0],
            ttl_s=round(rng.uniform(0.3, 3.0), 2) if rng.random() < _TTL and not durable else 0.0,
            pad=f"{n:x}." * (rng.randint(low, high) // 4),
        )

    def _user(self) -> str:
        if self._pages and self._rng.random() < _TO_PAGES:
            return self._rng.choice(self._pages)
        return user_name(self._rng.randrange(self._users))


class Sender:
    """The requests this program answers.

    Args:
        pen: the ledger.
        routers: by the word that `Sent.via` has for them.
    """

    def __init__(self, pen: Pen, routers: dict[str, Router]) -> None:
        self._pen = pen
        self._routers = routers
        self._calls: set[asyncio.Task[None]] = set()
        self._nodes: list[str] = []
        self._timeout_s = 0.0
        self._sent = 0
        self._load: asyncio.Task[None] | None = None

    async def start(self, request: Request) -> Request:
        """Begin to send `rate` messages a second for `seconds`."""
        self._nodes = request["nodes"]
        self._timeout_s = request["timeout_s"]
        ways = [*self._routers, "http"]
        drawing = Drawing(
            request["seed"], request["users"], ways, request["durable"], request["pages"]
        )
        self._load = asyncio.create_task(
            self._send_all(drawing, request["rate"], request["seconds"])
        )
        return {"pid": os.getpid()}

    async def state(self, request: Request) -> Request:
        """Say how many were sent, and how many still wait for their answer."""
        assert self._load is not None
        done = self._load.done()
        if done:
            self._load.result()
        return {"sent": self._sent, "waiting": len(self._calls), "done": done}

    async def end(self, request: Request) -> Request:
        """Note nothing any more: the cluster is about to be stopped."""
        self._pen.end()
        return {}

    async def _send_all(self, drawing: Drawing, rate: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for n in range(round(rate * seconds)):
            delay = start + n / rate - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            task = asyncio.create_task(self._one(drawing.draw(n)))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            self._sent += 1

    async def _one(self, drawn: Sent) -> None:
        sent = msgspec.structs.replace(drawn, at=now())
        self._pen.note(sent)
        try:
            if sent.via == "http":
                told = await self._by_http(sent)
            else:
                told = await self._by_router(sent, self._routers[sent.via])
        except Exception as exc:  # noqa: BLE001 - the audit must see it, whatever it is
            told = Told(now(), sent.n, "exception", reason=describe(exc))
        self._pen.note(told)

    async def _by_router(self, sent: Sent, router: Router) -> Told:
        try:
            result = await router.send(
                sent.user,
                sent.data(),
                origin=sent.origin,
                confirm=sent.confirm,
                timeout=self._timeout_s,
                ttl=sent.ttl_s or None,
                durable=sent.durable,
            )
        except SwitchboardError as exc:
            return Told(now(), sent.n, exc.code, reason=str(exc))
        return Told(now(), sent.n, str(result.outcome), result.id, result.reason)

    async def _by_http(self, sent: Sent) -> Told:
        place, port = place_of(self._nodes[sent.n % len(self._nodes)])
        path, key = f"/api/v1/users/{sent.user}/messages", os.environ.get(KEY, "")
        body: dict[str, Any] = {
            "data": sent.data(),
            "from": sent.origin,
            "confirm": sent.confirm,
            "timeout_s": self._timeout_s,
            "durable": sent.durable,
        }
        if sent.ttl_s:
            body["ttl_s"] = sent.ttl_s
        try:
            async with asyncio.timeout(self._timeout_s + _GRACE_S):
                _, answer = await post(port, path, body, place=place, key=key)
        except ConnectionRefusedError as exc:
            return Told(now(), sent.n, "unavailable", reason=str(exc))
        except (OSError, TimeoutError) as exc:
            return Told(now(), sent.n, BROKEN, reason=describe(exc))
        word = answer.get("outcome") or answer["code"]
        reason = answer.get("reason") or answer.get("detail", "")
        return Told(now(), sent.n, word, answer.get("id", ""), reason)


async def main() -> None:
    """Serve the runner until it goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ledger", type=Path)
    given = parser.parse_args()
    # stdout belongs to the answers.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = load(None)
    async with AsyncExitStack() as stack, Pen(given.ledger / FILE) as pen:
        routers = {"router": await stack.enter_async_context(Router.from_settings(settings))}
        if url := os.environ.get(THROUGH):
            through = Router.connect(url, settings)
            routers["proxied"] = await stack.enter_async_context(through)
        sender = Sender(pen, routers)
        handlers = {"start": sender.start, "state": sender.state, "end": sender.end}
        await serve(handlers, {"ready": True})


if __name__ == "__main__":
    uvloop.run(main())
