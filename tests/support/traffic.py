"""Durable and other messages to users on real nodes while something happens, and a book of them."""

import asyncio
from collections import Counter
from typing import Any, Final, Self

from router.aio import Router
from router.client import Client, Options
from router.errors import SwitchboardError, Unavailable
from router.model import Outcome
from tests.support.cluster import Cluster
from tests.support.waiting import eventually

_PAUSE_S: Final = 0.02
_QUIET_S: Final = 30.0
_GOOD: Final = (Outcome.DELIVERED, Outcome.ACKED, Outcome.QUEUED)
# Where a store has several servers, clients must not wait long for the next try in a test.
_OPTIONS: Final = Options(retry_base_s=0.1, retry_cap_s=0.5)


class Traffic:
    """Users with a device each, spread over the nodes, and a sender that does not stop.

    Each device is the client SDK: it comes back after a lost connection and drops repeats. Use it
    as an async context manager; `balance` says what is wrong.

    Args:
        cluster: the nodes.
        router: sends.
        users: how many.
    """

    def __init__(self, cluster: Cluster, router: Router, users: int = 12) -> None:
        self._cluster = cluster
        self._router = router
        self.users = [f"user-{number}" for number in range(users)]
        self.outcomes: dict[tuple[str, int], Outcome | SwitchboardError] = {}
        self.got: Counter[tuple[str, int]] = Counter()
        self.misdelivered = 0
        self._clients: list[Client] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._going = True

    async def __aenter__(self) -> Self:
        urls = [f"ws://{node.address}/ws" for node in self._cluster.nodes]
        for number, user in enumerate(self.users):
            turned = urls[number % len(urls) :] + urls[: number % len(urls)]
            client = Client(turned, user=user, device="web", options=_OPTIONS)
            self._clients.append(client)
            await client.__aenter__()
            self._tasks.append(asyncio.create_task(self._read(user, client)))
        await eventually(self.all_online)
        self._sending = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._going = False
        for task in (self._sending, *self._tasks):
            task.cancel()
        await asyncio.wait([self._sending, *self._tasks])
        for client in self._clients:
            await client.close()

    async def all_online(self) -> bool:
        """Say whether every user is in the registry; an AssertionError names those who are not."""
        try:
            missing = set(self.users) - set(await self._router.locate(self.users))
        except SwitchboardError as exc:
            raise AssertionError(f"nobody can say: {exc}") from exc
        assert not missing, f"not there: {sorted(missing)}"
        return True

    async def _read(self, user: str, client: Client) -> None:
        async for message in client:
            if message.data["to"] != user:
                self.misdelivered += 1
            self.got[user, message.data["number"]] += 1

    async def _send(self) -> None:
        under_way: set[asyncio.Task[None]] = set()
        number = 0
        while self._going:
            for user in self.users:
                number += 1
                task = asyncio.create_task(self._send_one(user, number))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await asyncio.sleep(_PAUSE_S)
        if under_way:
            await asyncio.wait(under_way)

    async def _send_one(self, user: str, number: int) -> None:
        data: dict[str, Any] = {"to": user, "number": number}
        try:
            result = await self._router.send(user, data, durable=number % 3 != 0, timeout=10.0)
            self.outcomes[user, number] = result.outcome
        except SwitchboardError as exc:
            self.outcomes[user, number] = exc

    async def some(self, count: int = 200) -> None:
        """Wait until so many more messages have come to a good end."""
        before = self._good()
        await eventually(lambda: self._good() >= before + count, _QUIET_S, "messages come through")

    def _good(self) -> int:
        return sum(outcome in _GOOD for outcome in self.outcomes.values())

    async def finish(self) -> None:
        """Send no more; wait until every send has its outcome, and every user is online."""
        self._going = False
        await asyncio.wait([self._sending])
        await eventually(self.all_online, _QUIET_S, "everybody is online")

    async def balance(self) -> None:
        """Wait until what was promised has come, then check that nothing else is wrong.

        Raises:
            AssertionError: something was lost, came twice, or to somebody else; or an outcome was
                not true.
        """

        def promised_has_come() -> bool:
            missing = [
                key
                for key, outcome in self.outcomes.items()
                if outcome in _GOOD and not self.got[key]
            ]
            assert not missing, f"lost: {missing[:10]} of {len(missing)}"
            return True

        await eventually(promised_has_come, _QUIET_S, "what was promised has come")
        assert self.misdelivered == 0
        assert [key for key, times in self.got.items() if times > 1] == []
        for key, outcome in self.outcomes.items():
            if isinstance(outcome, SwitchboardError):
                assert isinstance(outcome, Unavailable), outcome
                assert not self.got[key], f"{key} was refused and has come: {outcome}"
            elif outcome in (Outcome.OFFLINE, Outcome.DROPPED):
                assert not self.got[key], f"{key} was {outcome} and has come"

    def told(self) -> Counter[str]:
        """Return how often which word was said."""
        return Counter(
            outcome.code if isinstance(outcome, SwitchboardError) else outcome.value
            for outcome in self.outcomes.values()
        )
