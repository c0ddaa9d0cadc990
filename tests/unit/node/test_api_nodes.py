"""The cluster over HTTP."""

import os

from router.codec import Lease
from router.model import Confirm, Endpoint
from tests.support.api_case import ApiCase
from tests.support.waiting import eventually


class NodesTest(ApiCase):
    def test_each_node_is_shown_as_its_lease_describes_it(self) -> None:
        self.connect_user("alice")
        self.wait_for(self.router.send("alice", 1, confirm=Confirm.DELIVERED))
        self.wait_for(self.beat())
        [node] = self.ask("GET", "/api/v1/nodes").document["nodes"]
        assert 0 <= node.pop("heartbeat_age_s") < 2.5
        assert node.pop("received_per_second") >= 0
        assert node.pop("delivered_per_second") >= 0
        assert node == {
            "name": "n1",
            "endpoint": self.node.member.endpoint.id,
            "pid": os.getpid(),
            "address": self.node.address,
            "state": "live",
            "sessions": 1,
            "inbox": 0,
            "received": 1,
            "delivered": 1,
        }

    async def beat(self) -> None:
        """Have the node tell of itself now, and wait until that is in the store."""
        self.node.member.endpoint.check_now()

        async def told() -> list[Endpoint]:
            return [node for node in await self.router.nodes() if node.sessions == 1]

        nodes: list[Endpoint] = await eventually(told)
        assert nodes

    def test_a_node_whose_lease_ended_is_lost_and_has_no_heartbeat(self) -> None:
        self.wait_for(self.lose("n2"))
        first, second = self.ask("GET", "/api/v1/nodes").document["nodes"]
        assert (first["name"], first["state"]) == ("n1", "live")
        assert (second["name"], second["state"]) == ("n2", "lost")
        assert second["heartbeat_age_s"] is None

    async def lose(self, name: str) -> None:
        member = self.node.member
        lease = Lease("node", 1, "127.0.0.1:1", "live", 0, 0, 0, 0.0, 0.0)
        endpoint = await member.leases.open(name, lease)
        await member.store.command("DEL", member.keys.lease(endpoint))
        await member.store.command("RPUSH", member.keys.inbox(endpoint), "one", "two")

    def test_stats_are_the_sums_over_the_nodes(self) -> None:
        self.connect_user("alice")
        self.wait_for(self.lose("n2"))
        self.wait_for(self.beat())
        stats = self.ask("GET", "/api/v1/stats").document
        assert stats.keys() == {
            *("mode", "confirms", "nodes", "lost", "sessions", "inbox", "received", "delivered"),
            *("received_per_second", "delivered_per_second"),
        }
        assert (stats["nodes"], stats["lost"], stats["sessions"]) == (1, 1, 1)
        assert stats["inbox"] == 2
        assert stats["mode"] == "routed"
        assert stats["confirms"] == ["accepted", "written", "delivered", "acked"]


class DrainTest(ApiCase):
    def told(self) -> list[str]:
        """Return what is called when this node is told to leave."""
        orders: list[str] = []
        self.node.member.receiver.on_drain = lambda: orders.append("leave")
        return orders

    def test_a_node_is_told_to_leave(self) -> None:
        orders = self.told()
        endpoint = self.node.member.endpoint.id
        for name in ("n1", str(endpoint)):
            answer = self.ask("POST", f"/api/v1/nodes/{name}/drain", b"")
            assert (answer.status, answer.document) == (202, {"node": "n1", "endpoint": endpoint})
        self.wait_for(eventually(lambda: len(orders) == 2))

    def test_a_node_that_is_not_there_is_a_problem(self) -> None:
        orders = self.told()
        self.assert_problem(self.ask("POST", "/api/v1/nodes/n9/drain"), 404, "unknown_node")
        self.assert_problem(self.ask("POST", "/api/v1/nodes/n1.0/drain"), 404, "unknown_node")
        for name in ("", "a%20b", "%2e", "x" * 65):
            answer = self.ask("POST", f"/api/v1/nodes/{name}/drain")
            self.assert_problem(answer, 422, "invalid_request", "node")
        assert orders == []


class DocumentTest(ApiCase):
    def test_the_document_is_served(self) -> None:
        answer = self.ask("GET", "/api/v1/openapi.json")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.document["openapi"] == "3.1.0"
