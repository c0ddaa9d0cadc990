"""The other nodes: in the registry, and asked without it."""

import asyncio
import gc
import socket
from collections.abc import Sequence

import pytest
from tornado.web import RequestHandler

from node import peers
from node.peers import Peers, better_there, readiness, url_of
from router.model import EndpointId
from router.settings import TlsSettings
from router.store.embedded import EmbeddedServer
from scripts.measuring.ports import free_port_range
from tests.support.cluster import Cluster, endpoint_of
from tests.support.logs import Logs
from tests.support.serving import serving
from tests.support.waiting import eventually


class Says(RequestHandler):
    def initialize(self, status: int) -> None:
        self.status = status

    def get(self) -> None:
        self.set_status(self.status)


@pytest.mark.parametrize(("status", "expected"), [(200, True), (503, False), (404, False)])
async def test_a_node_is_asked_whether_it_takes_sessions(status: int, expected: bool) -> None:
    async with serving([("/readyz", Says, {"status": status})]) as address:
        assert await readiness(url_of(address, secure=False)) is expected


async def test_nobody_there_is_no_answer() -> None:
    assert await readiness(f"http://127.0.0.1:{free_port_range(1)}/") is None


async def test_who_stops_asking_a_silent_node_leaves_nothing_in_the_log(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asking = asyncio.create_task(readiness(f"http://127.0.0.1:{silent.getsockname()[1]}/"))
        silent.settimeout(10)
        connection, _ = await asyncio.to_thread(silent.accept)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        connection.settimeout(10)
        with connection:  # until the node has given up what nobody waits for
            while await asyncio.to_thread(connection.recv, 65_536):
                pass
        await asyncio.sleep(0)
    gc.collect()


@pytest.mark.parametrize(
    ("address", "secure", "url"),
    [
        ("127.0.0.1:8001", False, "http://127.0.0.1:8001/"),
        ("::1:8001", False, "http://[::1]:8001/"),
        ("::1:8001", True, "https://[::1]:8001/"),
    ],
)
def test_an_address_becomes_a_url(address: str, secure: bool, url: str) -> None:
    assert url_of(address, secure=secure) == url


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], False),  # there are no others
        ([True], True),
        ([False, None, True], True),
        ([False, False], False),  # it is the store that is away
        ([False, None], False),
        ([None, None], None),  # too busy, or it is we who are cut off
    ],
)
def test_where_sessions_are_better_off(
    answers: Sequence[bool | None], expected: bool | None
) -> None:
    assert better_there(answers) is expected


async def test_neither_we_nor_those_who_leave_nor_senders_count(store: EmbeddedServer) -> None:
    async with Cluster(store.address.url, nodes=2) as cluster, cluster.router() as router:
        await router.join()
        first, second = cluster.nodes
        peers = Peers(router.member.leases, lambda: endpoint_of(first), TlsSettings())
        assert await peers.look()
        second.drain.begun = True
        second.member.endpoint.check_now()

        async def nobody_is_left() -> bool:
            return not await peers.look()

        await eventually(nobody_is_left)


async def test_those_last_seen_are_asked_when_the_store_is_away(store: EmbeddedServer) -> None:
    async with Cluster(store.address.url, nodes=1) as cluster, cluster.router() as router:
        peers = Peers(router.member.leases, lambda: EndpointId("nobody"), TlsSettings())
        assert not await peers.better_there()
        assert await peers.look()
        assert await peers.better_there()
        cluster.nodes[0].drain.begun = True
        assert not await peers.better_there()


async def test_a_look_at_some_is_a_look_at_so_many(store: EmbeddedServer) -> None:
    async with Cluster(store.address.url, nodes=3) as cluster, cluster.router() as router:
        peers = Peers(router.member.leases, lambda: EndpointId("nobody"), TlsSettings())
        assert await peers.look(2)
        assert len(peers._addresses) == 2
        assert await peers.look()
        assert len(peers._addresses) == 3
