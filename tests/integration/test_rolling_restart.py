"""Every node of a cluster is restarted, one after the other, while messages flow."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import pytest

from node.spread import window_s
from router.model import Outcome
from router.store.embedded import EmbeddedServer
from tests.support.node_processes import ProcessCluster, processes
from tests.support.roaming import Move, Roamer
from tests.support.streams import Stream, check_the_ledger
from tests.support.waiting import eventually

# Nothing here may depend on a lease: what a rescue would mend is a fault of the drain.
PATIENT: Final = {"ttl_s": 60.0, "heartbeat_s": 5.0}
_BACK_S: Final = 30.0  # beyond its goodbye window, on a machine that has much else to do


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
