"""The nodes as the registry knows them, and as they answer; what the dead have left."""

from dataclasses import replace
from unittest.mock import patch

import pytest
import tornado.web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from node.checks import cluster
from node.checks.cluster import Answer
from node.checks.finding import Finding, Level
from router.codec import Lease
from router.errors import StoreRefused
from router.model import Endpoint, EndpointId
from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster
from tests.support.findings import level_of

NODE = Endpoint(
    name="n1",
    endpoint=EndpointId("n1.e1"),
    role="node",
    pid=7,
    address="127.0.0.1:1",
    state="live",
    sessions=0,
    inbox_length=0,
    heartbeat_age_seconds=0.5,
    received=0,
    delivered=0,
    received_per_second=0.0,
    delivered_per_second=0.0,
)


async def look(nodes: Cluster) -> list[Finding]:
    member = nodes.nodes[0].member
    found = cluster.everything(member.store, nodes.keys, member.leases, nodes.settings())
    return [finding async for finding in found]


async def test_nodes_that_are_well_are_found_well(store: EmbeddedServer) -> None:
    async with Cluster(store.address.url, nodes=2) as nodes:
        found = await look(nodes)
        assert [finding for finding in found if finding.level is not Level.OK] == []
        assert {finding.check for finding in found} == {
            *("nodes", "leftovers", "node n1", "node n2"),
        }


async def test_what_is_wrong_with_a_cluster_is_told(store: EmbeddedServer) -> None:
    async with Cluster(store.address.url, nodes=1) as nodes:
        member = nodes.nodes[0].member
        twin = Lease("node", 1, "127.0.0.1:1", "live", 0, 0, 0, 0.0, 0.0)
        await member.leases.open("n1", twin)
        strange = await member.leases.open("n7", twin)
        await nodes.redis.set(nodes.keys.lease(strange), b"\x00\x01", px=60_000)
        await nodes.redis.sadd(nodes.keys.endpoints, "gone.0a1b", "no name of ours")
        await nodes.redis.rpush(nodes.keys.dead, "x")
        found = await look(nodes)
        assert level_of(found, "nodes") is Level.FAIL
        told = " ".join(finding.says for finding in found)
        assert "2 nodes are called n1" in told
        assert f"nobody can read the lease of {strange}" in told
        assert level_of(found, "leftovers") is Level.WARN
        assert level_of(found, "registry.prefix") is Level.FAIL
        assert level_of(found, "dead letters") is Level.WARN
        assert level_of(found, "node n1") is Level.WARN  # the twin does not answer


async def test_another_programs_keys_are_a_refusal(store: EmbeddedServer) -> None:
    async with Cluster(store.address.url, nodes=1) as nodes:
        with patch.object(type(nodes.keys), "endpoints", f"{nodes.prefix}:theirs"):
            await nodes.redis.set(f"{nodes.prefix}:theirs", "a string")
            with pytest.raises(StoreRefused, match="WRONGTYPE"):
                await look(nodes)


class TestLeases:
    def test_a_lost_node_is_told_with_what_waits_for_it(self) -> None:
        lost = replace(NODE, state="lost", inbox_length=7)
        found = list(cluster.leases([lost]))
        assert level_of(found, "nodes") is Level.WARN
        assert found[0].says == "n1 is lost, and 7 envelopes wait in its inbox"
        assert "start a node" in found[0].mend
        there = replace(NODE, name="n2", endpoint=EndpointId("n2.e1"))
        assert "within seconds" in next(cluster.leases([lost, there])).mend

    def test_a_cluster_without_nodes_is_told(self) -> None:
        assert level_of(cluster.leases([]), "nodes") is Level.WARN

    def test_a_full_inbox_is_told(self) -> None:
        full = replace(NODE, inbox_length=6_000)
        assert level_of(cluster.inboxes([full], 10_000), "inboxes") is Level.WARN
        assert list(cluster.inboxes([NODE], 10_000)) == []


class TestFaceToFace:
    def test_a_node_that_is_silent_late_or_not_ready_is_told(self) -> None:
        for answer in (Answer(None), Answer(True, "", -60.0), Answer(False, "no store")):
            assert level_of(cluster.answered(NODE, answer), "node n1") is Level.WARN
        assert level_of(cluster.answered(NODE, Answer(True)), "node n1") is Level.OK

    def test_one_that_drains_need_not_be_ready(self) -> None:
        leaving = replace(NODE, state="draining")
        assert level_of(cluster.answered(leaving, Answer(False, "x")), "node n1") is Level.OK

    async def test_its_clock_is_read_from_its_answer(self) -> None:
        class Late(tornado.web.RequestHandler):
            def get(self) -> None:
                self.set_header("Date", "Mon, 23 Nov 2020 12:00:00 GMT")

        server = HTTPServer(tornado.web.Application([("/readyz", Late)]))
        [listening] = bind_sockets(0, "127.0.0.1")
        server.add_socket(listening)
        answer = await cluster.ask(f"127.0.0.1:{listening.getsockname()[1]}")
        server.stop()
        assert answer.ready
        assert answer.ahead_s < -10_000

    async def test_nobody_there_is_no_error(self) -> None:
        assert await cluster.ask("127.0.0.1:1") == Answer(None)
        assert await cluster.ask("") == Answer(None)
