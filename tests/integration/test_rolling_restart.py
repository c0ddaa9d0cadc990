"""Every node of a cluster is restarted, one after the other, while messages flow."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Final

import pytest

from node.spread import window_s
from router.aio import Router
from router.model import Outcome
from router.store.embedded import EmbeddedServer
from tests.support.node_processes import ProcessCluster, processes
from tests.support.roaming import Move, Roamer
from tests.support.waiting import eventually

# Nothing here may depend on a lease: what a rescue would mend is a fault of the drain.
PATIENT: Final = {"ttl_s": 60.0, "heartbeat_s": 5.0}
_BACK_S: Final = 30.0  # beyond its goodbye window, on a machine that has much else to do


class Stream:
    """Numbered messages to random users at a steady rate.

    Args:
        router: sends them.
        users: to whom.
        per_second: how many.
    """

    def __init__(self, router: Router, users: Sequence[str], per_second: float) -> None:
        self._router = router
        self._users = users
        self._per_second = per_second
        self._sends: set[asyncio.Task[None]] = set()
        self._pacing: asyncio.Task[None] | None = None
        self.outcomes: dict[int, tuple[str, Outcome, str]] = {}

    @staticmethod
    def durable(number: int) -> bool:
        """Say whether this one is stored; every other one is."""
        return number % 2 == 1

    def start(self) -> None:
        self._pacing = asyncio.create_task(self._pace())

    async def stop(self) -> None:
        assert self._pacing is not None
        self._pacing.cancel()
        await asyncio.wait([self._pacing])
        await asyncio.gather(*self._sends)

    async def _pace(self) -> None:
        loop = asyncio.get_running_loop()
        began, number = loop.time(), 0
        while True:
            while number < (loop.time() - began) * self._per_second:
                send = asyncio.create_task(self._send(random.choice(self._users), number))
                self._sends.add(send)
                send.add_done_callback(self._sends.discard)
                number += 1
            await asyncio.sleep(0.01)

    async def _send(self, user: str, number: int) -> None:
        result = await self._router.send(user, number, timeout=30.0, durable=self.durable(number))
        self.outcomes[number] = (user, result.outcome, result.reason)


async def restart_each(cluster: ProcessCluster, places: dict[str, str]) -> None:
    """Restart every node as an operator does: drain, start, wait, the next one.

    Half of them are told by a signal, the others by an order through the store.
    """
    for number, node in enumerate(list(cluster.nodes)):
        del places[node.name]
        if number % 2:
            assert await node.terminate() == 0, node.said
        else:
            assert (await cluster.router.drain(node.name)).startswith(f"{node.name}.")
            assert await node.ended() == 0, node.said
        places[node.name] = (await cluster.start(node.name)).address


def check_the_ledger(stream: Stream, roamers: Sequence[Roamer]) -> Counter[Outcome]:
    """Compare what the sender was told with what the users have; return how often which word."""
    received = {roamer.user: Counter(roamer.received) for roamer in roamers}
    for number, (user, outcome, reason) in stream.outcomes.items():
        times = received[user][number]
        if stream.durable(number):
            assert times >= 1, f"{number} to {user}, {outcome}, is lost"
            assert outcome in (Outcome.DELIVERED, Outcome.QUEUED, Outcome.UNKNOWN), reason
            continue
        assert times <= 1, f"{number} came {times} times"
        if outcome is Outcome.DELIVERED:
            assert times == 1, f"{number} to {user} is lost"
        elif outcome is Outcome.OFFLINE:
            assert times == 0, f"{number} to {user} was called offline, and came"
        else:
            assert outcome is Outcome.UNKNOWN, (outcome, reason)
    for user, numbers in received.items():
        assert all(stream.outcomes[number][0] == user for number in numbers), "misdelivered"
    assert [roamer.fell for roamer in roamers if roamer.fell] == []
    return Counter(outcome for _, outcome, _ in stream.outcomes.values())


def most_in_a_second(moves: Sequence[Move]) -> float:
    """Return the most that came back in one second, as a multiple of the even share."""
    first = min(move.told_at for move in moves)
    share = len(moves) / max(1.0, window_s(len(moves), 15.0))
    return max(Counter(int(move.back_at - first) for move in moves).values()) / share


async def roll(store: EmbeddedServer, nodes: int, users: int, per_second: float) -> None:
    async with processes(store.address.url, nodes, lease=PATIENT) as cluster:
        places = {node.name: node.address for node in cluster.nodes}
        roamers = [Roamer(f"u{number}", places) for number in range(users)]
        for roamer in roamers:
            roamer.start()
        await eventually(lambda: all(roamer.node for roamer in roamers), 60.0, "all are there")
        stream = Stream(cluster.router, [roamer.user for roamer in roamers], per_second)
        stream.start()
        await eventually(lambda: len(stream.outcomes) > per_second / 2)
        await restart_each(cluster, places)
        await eventually(lambda: all(roamer.node for roamer in roamers), 60.0, "all are back")
        await stream.stop()
        wanted = {number for number in stream.outcomes if stream.durable(number)}

        def all_stored_are_there() -> bool:
            return not wanted - {number for roamer in roamers for number in roamer.received}

        await eventually(all_stored_are_there, 30.0)
        for roamer in roamers:
            await roamer.stop()
        moves = [move for roamer in roamers for move in roamer.moves]
        words = check_the_ledger(stream, roamers)
        report(words, moves, roamers)
        assert len(moves) >= users  # everybody had to go at least once
        assert {move.code for move in moves} == {1012}
        late = [move for move in moves if move.back_at - move.told_at > move.after_s + _BACK_S]
        assert not late
        assert words[Outcome.DELIVERED] > sum(words.values()) / 2
        if users >= 400:
            for node in places:
                assert most_in_a_second([move for move in moves if move.node == node]) <= 2


def report(words: Counter[Outcome], moves: Sequence[Move], roamers: Sequence[Roamer]) -> None:
    delays = sorted(move.back_at - move.told_at - move.after_s for move in moves)
    print(
        {word.value: times for word, times in words.items()},
        f"repeats {sum(len(r.received) - len(set(r.received)) for r in roamers)},",
        f"moves {len(moves)}, refused {sum(roamer.refused for roamer in roamers)},",
        f"back after the moment named: median {delays[len(delays) // 2]:.3f} s,",
        f"p99 {delays[len(delays) * 99 // 100]:.3f} s,",
        "most in a second, of the even share:",
        {
            name: round(most_in_a_second([move for move in moves if move.node == name]), 2)
            for name in sorted({move.node for move in moves})
        },
    )


async def test_a_rolling_restart_loses_nothing(store: EmbeddedServer) -> None:
    await roll(store, nodes=2, users=40, per_second=60)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_rolling_restart_of_four_nodes_with_500_users(store: EmbeddedServer) -> None:
    await roll(store, nodes=4, users=500, per_second=300)
