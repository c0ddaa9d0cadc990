"""What nodes log: enough, not too much, and no secret."""

import asyncio
import contextlib
import json
import socket
import time
from pathlib import Path
from typing import Any, Literal

import jwt
import pytest
from tornado.httpclient import AsyncHTTPClient
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from node.frames import JSON_PROTOCOL
from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster
from tests.support.logs import Logs
from tests.support.node_processes import NodeProcess, processes
from tests.support.waiting import eventually

PAYLOAD = "payload-nobody-may-see"
SIGNING = "signing-secret-that-nobody-may-see-0123456789"
API_KEY = "sb_backend_key-that-nobody-may-see"


class TestTraceUser:
    async def test_the_messages_of_one_user_are_told_step_by_step_and_no_others(
        self, store: EmbeddedServer, logs: Logs
    ) -> None:
        async with Cluster(store.address.url, 2, log={"trace_user": "alice"}) as cluster:
            await cluster.connect(1, "alice")
            await cluster.connect(1, "bob")
            async with cluster.router() as router:
                await router.send("bob", PAYLOAD)
                assert not logs.events("message")
                sent = await router.send("alice", PAYLOAD)
                await router.send("bob", PAYLOAD, origin="alice")
        lines = logs.events("message")
        assert {line["user"] for line in lines} == {"alice"}
        to_alice = [line["step"] for line in lines if line["message"] == sent.id]
        wanted = ["accepted", "looked_up", "taken", "written", "proved", "pushed", "settled"]
        assert sorted(to_alice) == sorted(wanted)
        assert len(lines) == 2 * len(wanted)
        assert PAYLOAD not in str(lines)

    async def test_without_it_a_session_is_two_lines_and_a_message_none(
        self, store: EmbeddedServer, logs: Logs
    ) -> None:
        async with Cluster(store.address.url, 1) as cluster:
            before = len(logs._entries)
            alice = await cluster.connect(0, "alice")
            for _ in range(20):
                await cluster.nodes[0].router.send("alice", PAYLOAD)
            await alice.close()
            await eventually(lambda: logs.events("session closed"))
            said = logs._entries[before:]
        (opened,) = logs.events("session opened")
        (closed,) = logs.events("session closed")
        assert opened["session"] == closed["session"] == alice.session
        assert closed["seconds"] >= 0
        assert [entry["event"] for entry in said] == ["session opened", "session closed"]


class TestSecrets:
    """Everything that a node must not say is handed to it, by every way there is."""

    @pytest.mark.parametrize("format", ["console", "json"])
    @pytest.mark.one_server
    async def test_no_secret_is_in_what_a_node_writes_or_shows(
        self, own_store: EmbeddedServer, format: Literal["console", "json"]
    ) -> None:
        token = jwt.encode({"sub": "alice", "exp": time.time() + 600, "iat": time.time()}, SIGNING)
        password = own_store.address.password
        assert password
        secrets = [password, SIGNING, PAYLOAD, API_KEY, token, f"{token}x", token.split(".")[2]]
        settings: dict[str, Any] = {
            "log": {"level": "debug", "format": format},
            "auth": {"mode": "jwt", "secret": SIGNING},
        }
        async with processes(own_store.address.url, 1, **settings) as cluster:
            (node,) = cluster.nodes
            await provoke(node, token)
            found = await cluster.described(node)
            assert found is not None
            await cluster.redis.rpush(cluster.keys.inbox(found.endpoint), PAYLOAD)
            shown = await everything_shown(node)
            await eventually(lambda: "dead letter" in node.said)
            own_store.stop()
            await eventually(lambda: "store connection lost" in node.said)
            said = node.said
        assert "session opened" in said
        for secret in secrets:
            assert secret not in said, "a log line"
            assert secret not in shown, "an answer, or the command line"
        lines = [line for line in said.splitlines() if "session opened" in line]
        assert all("n1" in line and found.endpoint in line for line in lines)
        if format == "json":
            assert all(json.loads(line) for line in said.splitlines())


async def provoke(node: NodeProcess, token: str) -> None:
    """Let a node meet its secrets where they belong, and where they do not."""
    bearer = Subprotocol(f"switchboard.bearer.{token}")
    url = f"ws://{node.address}/ws"
    tries: list[dict[str, Any]] = [
        {"uri": f"{url}?token={token}"},
        {"uri": f"{url}?token={token}x"},
        {"uri": f"{url}?token={token}&since={PAYLOAD}"},
        {"uri": url, "additional_headers": {"Authorization": f"Bearer {token}"}},
        {"uri": url, "additional_headers": {"Authorization": f"Bearer {API_KEY}"}},
        {"uri": url, "subprotocols": [Subprotocol(JSON_PROTOCOL), bearer]},
    ]
    for each in tries:
        with contextlib.suppress(WebSocketException):
            async with connect(proxy=None, **each) as connection:
                await connection.recv()
                await connection.send(PAYLOAD)
                await connection.recv()
                send = {"type": "send", "to": "alice", "data": PAYLOAD, "durable": True}
                await connection.send(json.dumps(send))
                await connection.recv()
    for garbage in (f"GET /{PAYLOAD}\0 HTTP/9\r\n\r\n", f"{API_KEY}\r\n\r\n"):
        await raw(node.address, garbage.encode())


async def raw(address: str, request: bytes) -> None:
    """Say something that is no HTTP."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), family=socket.AF_INET)
    writer.write(request)
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()


async def everything_shown(node: NodeProcess) -> str:
    """Return what a stranger and the system can see of a node."""
    paths = ("/metrics", "/healthz", "/readyz", "/api/v1/nodes", "/api/v1/users/alice", "/nowhere")
    pages = []
    for path in paths:
        answer = await AsyncHTTPClient().fetch(
            f"http://{node.address}{path}",
            headers={"Authorization": f"Bearer {API_KEY}"},
            raise_error=False,
        )
        pages.append(answer.body.decode() + str(dict(answer.headers)))
    return "\n".join(pages) + command_line(node.pid)


def command_line(pid: int) -> str:
    """Return what `ps` shows of a process; "" where there is no /proc."""
    shown = Path(f"/proc/{pid}/cmdline")
    return shown.read_text() if shown.exists() else ""
