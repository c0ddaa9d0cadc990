"""What a balancer of `deploy` lets through, and what nodes and clients know of each other."""

import asyncio
import json
import re
import sys
from typing import Final

import pytest

from router.model import Outcome
from tests.deploy.behind import PING_S, Behind, ask, join, refusal
from tests.support.balancers import HOST, Balancer
from tests.support.clients import DEADLINE_S
from tests.support.cluster import Cluster
from tests.support.tokens import token
from tests.support.waiting import eventually

_ELSEWHERE: Final = "127.0.1.7"  # another address of this machine, as if of another one
_MADE_UP: Final = "203.0.113.9"


class Passing(Behind):
    async def test_delivered_is_proved_by_the_client_and_not_by_the_balancer(
        self, cluster: Cluster, balancer: Balancer
    ) -> None:
        client = await join(balancer, "alice")
        async with cluster.router() as router:
            assert (await router.send("alice", 1)).outcome is Outcome.DELIVERED
            client.connection.transport.pause_reading()
            unread = await router.send("alice", 2, timeout=1.5)
            assert unread.outcome is Outcome.UNKNOWN
            client.connection.transport.resume_reading()
            assert (await router.send("alice", 3)).outcome is Outcome.DELIVERED
        assert await client.messages(3) == [1, 2, 3]
        await client.close()

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a machine is 127.0.0.1 only")
    async def test_a_node_knows_its_clients_address_whatever_they_say_it_is(
        self, cluster: Cluster, balancer: Balancer
    ) -> None:
        said = {"X-Forwarded-For": _MADE_UP, "X-Real-IP": _MADE_UP, "Forwarded": f"for={_MADE_UP}"}
        client = await join(balancer, "alice", headers=said, local_addr=(_ELSEWHERE, 0))

        async def known() -> list[str]:
            async with cluster.router() as router:
                return [session.address for session in await router.sessions("alice")]

        assert await eventually(known) == [_ELSEWHERE]
        await client.close()

    async def test_pages_of_this_site_may_connect_and_no_others(
        self, cluster: Cluster, balancer: Balancer
    ) -> None:
        ours = f"https://{balancer.address}"
        client = await join(balancer, "alice", headers={"Origin": ours})
        await client.close()
        for other in (f"http://{balancer.address}", "https://elsewhere.example"):
            lying = {"Origin": other, "X-Forwarded-Proto": other.partition(":")[0]}
            assert (await refusal(balancer, headers=lying))[0] == 403

    async def test_nothing_but_sockets_tickets_and_the_client_is_let_through(
        self, cluster: Cluster, balancer: Balancer
    ) -> None:
        for path in ("/", "/api/v1/users", "/api/v1/tickets/x", "/metrics", "/dashboard"):
            assert (await ask(balancer, path))[0] == 404, path
        for path in ("/dashboard/feed", "/readyz", "/healthz", "/wsx"):
            assert (await ask(balancer, path))[0] == 404, path
        assert (await ask(balancer, "/static/switchboard.js"))[0] == 200
        assert (await ask(balancer, "/static/../metrics"))[0] in (403, 404)
        assert (await ask(balancer, "/ws"))[0] == 401

    async def test_a_ticket_from_one_node_opens_a_session_and_stands_in_no_log(
        self, cluster: Cluster, balancer: Balancer
    ) -> None:
        secret = token("alice")
        bearer = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        wanted = {"method": "POST", "headers": bearer}
        status, body = await ask(balancer, "/api/v1/tickets", data=b"{}", **wanted)
        assert status == 201
        ticket = json.loads(body)["ticket"]
        client = await join(balancer, "alice", query=f"?token={ticket}")
        assert client.greeting["user"] == "alice"
        await client.close()
        assert (await refusal(balancer, query=f"?token={ticket}"))[0] == 401
        for node in list(cluster.nodes):
            await cluster.stop(node)
        assert (await refusal(balancer, query=f"?token={ticket}"))[0] == 503
        await eventually(lambda: len(re.findall("GET /ws ", balancer.said)) == 3)
        assert ticket not in balancer.said
        assert secret not in balancer.said

    async def test_a_body_that_no_ticket_needs_is_refused_before_it_comes(
        self, cluster: Cluster, balancer: Balancer
    ) -> None:
        request = (
            "POST /api/v1/tickets HTTP/1.1\r\n"
            f"Host: {balancer.address}\r\n"
            "Content-Type: application/json\r\n"
            "Content-Length: 16385\r\n\r\n"
        )
        tls = balancer.authority.client_context()
        reader, writer = await asyncio.open_connection(HOST, balancer.port, ssl=tls)
        writer.write(request.encode())
        async with asyncio.timeout(DEADLINE_S):
            assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        writer.transport.abort()

    async def test_a_token_as_long_as_nodes_take_it_gets_through(
        self, cluster: Cluster, balancer: Balancer
    ) -> None:
        long = token("alice", note="x" * 2_850)
        assert 3_900 < len(long) <= 4_096
        in_header = await join(balancer, "", bearer=long)
        offered = ["switchboard.v1.json", f"switchboard.bearer.{long}"]
        in_subprotocol = await join(balancer, "", bearer="", subprotocols=offered)
        for client in (in_header, in_subprotocol):
            assert client.greeting["user"] == "alice"
            await client.close()

    async def test_sessions_outlive_a_reload(self, cluster: Cluster, balancer: Balancer) -> None:
        client = await join(balancer, "alice")
        fifth = await cluster.start("n5")
        balancer.nodes = [*balancer.nodes[1:], fifth.address]
        balancer.kind.write(balancer)
        balancer.reload()

        async def the_new_one_is_in_use() -> bool:
            guest = await join(balancer, "guest")
            await guest.close()
            return guest.node == "n5"

        await eventually(the_new_one_is_in_use)
        async with cluster.router() as router:
            assert (await router.send("alice", "still here?")).outcome is Outcome.DELIVERED
        assert await client.messages(1) == ["still here?"]
        await client.close()

    @pytest.mark.long
    @pytest.mark.timeout(300)
    async def test_a_session_that_has_nothing_to_say_stays(
        self, cluster: Cluster, balancer: Balancer
    ) -> None:
        client = await join(balancer, "alice")
        with pytest.raises(TimeoutError):
            await client.read(within_s=3.5 * PING_S)
        async with cluster.router() as router:
            assert (await router.send("alice", 1)).outcome is Outcome.DELIVERED
        await client.close()
