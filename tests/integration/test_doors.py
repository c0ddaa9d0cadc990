"""Who gets in where tokens and keys are asked for: over real sockets, on several nodes."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from node.auth import Scope, apikeys
from node.handlers.api import TABLE
from node.handlers.base import Operation
from node.handlers.openapi import operations_of
from node.identity import Right
from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster
from tests.support.processes import Switchboard, free_port_range
from tests.support.strangers import ask, bearer, guarded, knock
from tests.support.tokens import SECRET, token

LISTED = "https://app.example"


@dataclass(frozen=True, slots=True)
class Doors:
    """Two nodes that ask who comes, and the keys that count there."""

    cluster: Cluster
    keys: dict[str, str]

    @property
    def first(self) -> str:
        return self.cluster.nodes[0].address

    @property
    def second(self) -> str:
        return self.cluster.nodes[1].address


@pytest.fixture
async def doors(store: EmbeddedServer, tmp_path: Path) -> AsyncIterator[Doors]:
    scopes = {scope.value: scope.value for scope in Scope}
    overrides, keys = guarded(tmp_path, **scopes)
    overrides["auth"]["origins"] = [LISTED]
    async with Cluster(store.address.url, 2, **overrides) as cluster:
        yield Doors(cluster, keys)


def operations() -> Iterator[tuple[str, str, Operation]]:
    """Return each method of each address that asks for a scope."""
    for path, handler in TABLE:
        for method, op in operations_of(handler).items():
            if op.scope is not None:
                yield method.upper(), re.sub(r"\{\w+\}", "alice", path), op


class TestCallers:
    async def test_nobody_calls_without_a_key_and_every_refusal_is_the_same(
        self, doors: Doors
    ) -> None:
        right = doors.keys["admin"]
        lines = [
            [bearer(apikeys.make("admin"))],
            [bearer(right[:-1] + ("A" if right[-1] != "A" else "B"))],
            [bearer("x" * 3_000)],
            [f"Authorization: Basic {right}"],
            [f"Authorization: {right}"],
            [bearer(right), bearer(right)],
            [f"Cookie: key={right}"],
            [f"X-Api-Key: {right}"],
        ]
        for method, path, _ in operations():
            if path.endswith("/tickets"):
                continue
            nothing = await ask(doors.first, method, path, body={"data": 1})
            for given in lines:
                told = await ask(doors.first, method, path, *given, body={"data": 1})
                assert told.status == 401, (method, path, given)
                assert told.headers["WWW-Authenticate"] == 'Bearer realm="switchboard"'
                assert told.document["code"] == "unauthenticated"
                assert right.encode() not in told.body
                assert told.body == nothing.body
            told = await ask(doors.first, method, f"{path}?token={right}", body={"data": 1})
            assert told.status == 401, (method, path)

    async def test_each_address_asks_for_its_scope_and_admin_is_for_all(self, doors: Doors) -> None:
        for method, path, op in operations():
            for scope in Scope:
                told = await ask(
                    doors.first, method, path, bearer(doors.keys[scope]), body={"data": 1}
                )
                if scope in (op.scope, Scope.ADMIN):
                    assert told.status not in (401, 403), (method, path, scope)
                else:
                    assert told.status == 403, (method, path, scope)
                    assert f"the scope '{op.scope}'" in told.document["detail"]

    async def test_health_answers_everybody(self, doors: Doors) -> None:
        for path in ("/healthz", "/readyz"):
            assert (await ask(doors.first, "GET", path)).status == 200

    async def test_pages_from_elsewhere_may_not_call_even_with_a_key(self, doors: Doors) -> None:
        key = bearer(doors.keys["read"])
        for origin, status in (
            ("https://evil.example", 403),
            ("null", 403),
            (f"http://{doors.first}", 200),
            (f"http://{doors.second}", 403),
            (LISTED, 200),
            (f"{LISTED}.evil.example", 403),
        ):
            told = await ask(doors.first, "GET", "/api/v1/nodes", key, f"Origin: {origin}")
            assert told.status == status, origin
            allowed = told.headers.get("Access-Control-Allow-Origin")
            assert allowed == (LISTED if origin == LISTED else None)
            assert "Access-Control-Allow-Credentials" not in told.headers

    async def test_browsers_may_ask_first_for_listed_pages_only(self, doors: Doors) -> None:
        wanted = "Access-Control-Request-Method: POST"
        path = "/api/v1/tickets"
        told = await ask(doors.first, "OPTIONS", path, wanted, f"Origin: {LISTED}")
        assert told.status == 204
        assert told.headers["Access-Control-Allow-Origin"] == LISTED
        assert told.headers["Access-Control-Allow-Methods"] == "POST"
        assert "Authorization" in told.headers["Access-Control-Allow-Headers"]
        assert "Origin" in told.headers["Vary"]
        for origin in ("https://evil.example", "null"):
            told = await ask(doors.first, "OPTIONS", path, wanted, f"Origin: {origin}")
            assert told.status == 405
            assert "Access-Control-Allow-Origin" not in told.headers

    async def test_the_page_to_try_it_by_hand_is_not_there_for_strangers(
        self, doors: Doors
    ) -> None:
        assert (await ask(doors.first, "GET", "/")).status == 404
        assert (await ask(doors.first, "GET", "/static/switchboard.js")).status == 200


class TestSockets:
    async def test_a_token_is_taken_from_a_header_or_a_subprotocol(self, doors: Doors) -> None:
        right = token("alice")
        for lines in (
            [bearer(right)],
            [f"Sec-WebSocket-Protocol: switchboard.v1.json, switchboard.bearer.{right}"],
            [f"Sec-WebSocket-Protocol: switchboard.bearer.{right}, switchboard.v1.json"],
        ):
            told = await knock(doors.first, "?device=web", *lines)
            assert told.status == 101
            assert right not in str(told.headers)
            selected = told.headers.get("Sec-WebSocket-Protocol")
            assert selected == ("switchboard.v1.json" if "Protocol" in lines[0] else None)

    async def test_who_comes_with_nothing_or_with_more_than_one_token_stays_outside(
        self, doors: Doors
    ) -> None:
        right = token("alice")
        for query, *lines in (
            ("",),
            ("?user=alice",),
            ("?user=alice", bearer("x")),
            ("", bearer(doors.keys["admin"])),
            ("", bearer(right), bearer(right)),
            ("", bearer(right), bearer(token("bob"))),
            (f"?token={right}", bearer(right)),
            (f"?token={right}",),
            ("", bearer(right), f"Sec-WebSocket-Protocol: switchboard.bearer.{right}"),
            ("", f"Cookie: token={right}"),
            ("", f"Proxy-Authorization: Bearer {right}"),
        ):
            told = await knock(doors.first, query, *lines)
            assert told.status == 401, (query, lines)
            assert right not in told.body.decode()

    async def test_pages_from_elsewhere_stay_outside_even_with_a_token(self, doors: Doors) -> None:
        right = bearer(token("alice"))
        for origin, status in (
            (None, 101),
            (f"http://{doors.first}", 101),
            (f"http://{doors.second}", 403),
            (f"https://{doors.first}", 403),
            ("null", 403),
            ("", 403),
            ("https://evil.example", 403),
            (LISTED, 101),
        ):
            lines = [] if origin is None else [f"Origin: {origin}"]
            assert (await knock(doors.first, "", right, *lines)).status == status, origin
        twice = [f"Origin: {LISTED}", "Origin: https://evil.example"]
        assert (await knock(doors.first, "", right, *twice)).status == 403
        assert (await knock(doors.first, "", right, "Host: a", "Host: b")).status == 400


class TestTickets:
    async def ticket(self, doors: Doors, given: str, status: int = 201, **order: object) -> str:
        told = await ask(doors.first, "POST", "/api/v1/tickets", bearer(given), body=order)
        assert told.status == status, told.body
        return str(told.document["ticket"]) if status == 201 else str(told.document["detail"])

    async def test_a_token_is_swapped_for_one_connection_to_any_node(self, doors: Doors) -> None:
        text = await self.ticket(doors, token("alice", device="phone", can=[]))
        for status in (101, 401):
            told = await knock(doors.second, f"?token={text}")
            assert told.status == status
        assert "was used already" in told.document["detail"]

    async def test_it_has_the_rights_of_its_token_and_ends_with_it(self, doors: Doors) -> None:
        ends = time.time() + 15
        given = token("alice", can=["send"], to=["bob"], exp=ends)
        told = await ask(doors.first, "POST", "/api/v1/tickets", bearer(given), body={})
        assert told.document["expires_at"] == pytest.approx(ends, abs=0.01)
        holder = await doors.cluster.nodes[1].tickets.take(told.document["ticket"])
        assert (holder.user, holder.expires_at) == ("alice", ends)
        assert (set(holder.rights), holder.to.patterns) == ({Right.SEND}, ("bob",))

    async def test_users_get_tickets_for_themselves_only(self, doors: Doors) -> None:
        bound = token("alice", device="phone")
        assert "that user" in await self.ticket(doors, bound, 403, user="bob")
        assert "'phone' only" in await self.ticket(doors, bound, 403, device="web")
        assert "can: " in await self.ticket(doors, bound, 422, can=["send"])
        assert await self.ticket(doors, bound, user="alice", device="phone")
        assert await self.ticket(doors, token("alice"), device="web", ttl_s=1)

    async def test_a_key_gets_one_for_anybody_only_if_it_may_do_everything(
        self, doors: Doors
    ) -> None:
        for scope in (Scope.SEND, Scope.READ, Scope.KICK):
            detail = await self.ticket(doors, doors.keys[scope], 403, user="alice")
            assert "the scope 'admin'" in detail
        text = await self.ticket(doors, doors.keys["admin"], user="alice", device="web")
        assert (await knock(doors.second, f"?token={text}")).status == 101
        assert "needs a key" in await self.ticket(doors, apikeys.make("x"), 401, user="alice")

    async def test_a_ticket_is_not_swapped_for_another_one(self, doors: Doors) -> None:
        text = await self.ticket(doors, token("alice"))
        assert "not for more tickets" in await self.ticket(doors, text, 401)
        assert (await knock(doors.second, f"?token={text}")).status == 101

    async def test_a_session_is_renewed_by_a_ticket_where_its_client_has_nothing_else(
        self, doors: Doors
    ) -> None:
        given = token("alice", life_s=30)
        first, second, other = [
            await self.ticket(doors, each)
            for each in (given, token("alice", life_s=600), token("bob"))
        ]
        address = f"ws://{doors.second}/ws?token={first}"
        async with connect(address, proxy=None) as socket:
            welcome = json.loads(await socket.recv())
            assert welcome["user"] == "alice"
            for text, kind in ((other, "error"), (second, "refreshed"), (second, "error")):
                await socket.send(json.dumps({"type": "refresh", "token": text}))
                frame = json.loads(await socket.recv())
                assert frame["type"] == kind, frame
                if kind == "refreshed":
                    assert frame["expires_at"] > time.time() + 500

    async def test_strangers_and_foreign_pages_get_none(self, doors: Doors) -> None:
        path = "/api/v1/tickets"
        body = {"user": "alice"}
        assert (await ask(doors.first, "POST", path, body=body)).status == 401
        assert (await ask(doors.first, "POST", path, bearer("x"), body=body)).status == 401
        for given in (token("alice"), doors.keys["admin"]):
            lines = [bearer(given), "Origin: https://evil.example"]
            assert (await ask(doors.first, "POST", path, *lines, body=body)).status == 403


class TestApart:
    """The API at a port of its own."""

    @pytest.fixture
    async def apart(self, store: EmbeddedServer, tmp_path: Path) -> AsyncIterator[Doors]:
        overrides, keys = guarded(tmp_path, admin="admin", read="read")
        overrides["api"] |= {"host": "127.0.0.1", "port": free_port_range(1)}
        overrides["node"] = {"trusted_proxies": ["127.0.0.1"]}
        async with Cluster(store.address.url, 1, **overrides) as cluster:
            yield Doors(cluster, keys)

    async def test_where_users_come_there_is_nothing_for_operators(self, apart: Doors) -> None:
        (node,) = apart.cluster.nodes
        assert node.address != node.api_address
        key = bearer(apart.keys["admin"])
        paths = [path for _, path, _ in operations()]
        for path in {*paths, "/dashboard", "/dashboard/feed", "/static/main.js", "/"}:
            told = await ask(node.address, "GET", path, key)
            assert told.status == (405 if path.endswith("/tickets") else 404), path
        for path in (
            "/healthz",
            "/readyz",
            "/static/switchboard.js",
            "/static/switchboard/acks.js",
        ):
            assert (await ask(node.address, "GET", path)).status == 200, path
        assert (await knock(node.address, "", bearer(token("alice")))).status == 101

    async def test_at_its_own_port_there_is_the_api_and_no_users(self, apart: Doors) -> None:
        (node,) = apart.cluster.nodes
        key = bearer(apart.keys["read"])
        for path in ("/api/v1/nodes", "/api/v1/stats", "/metrics", "/api/v1/openapi.json"):
            assert (await ask(node.api_address, "GET", path, key)).status == 200, path
            assert (await ask(node.api_address, "GET", path)).status == 401, path
        for path in ("/healthz", "/dashboard"):
            assert (await ask(node.api_address, "GET", path)).status == 200, path
        assert (await knock(node.api_address, "", bearer(token("alice")))).status == 404
        assert (await ask(node.api_address, "GET", "/")).status == 404

    async def test_where_users_come_tickets_are_for_their_own_tokens(self, apart: Doors) -> None:
        (node,) = apart.cluster.nodes
        path, key = "/api/v1/tickets", bearer(apart.keys["admin"])
        assert (await ask(node.address, "POST", path, key, body={"user": "a"})).status == 401
        assert (await ask(node.api_address, "POST", path, key, body={"user": "a"})).status == 201
        user = bearer(token("alice"))
        assert (await ask(node.address, "POST", path, user, body={})).status == 201
        evil = [user, "Origin: https://evil.example"]
        assert (await ask(node.address, "POST", path, *evil, body={})).status == 403

    async def test_a_proxy_in_front_says_who_comes_and_how(self, apart: Doors) -> None:
        (node,) = apart.cluster.nodes
        right = bearer(token("alice"))
        https = [right, "Host: chat.example", "Origin: https://chat.example"]
        assert (await knock(node.address, "", *https)).status == 403
        assert (await knock(node.address, "", *https, "X-Forwarded-Proto: https")).status == 101
        doubled = ["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"]
        assert (await knock(node.address, "", *https, *doubled)).status == 403

    async def test_the_registry_has_the_address_that_the_proxy_tells(self, apart: Doors) -> None:
        (node,) = apart.cluster.nodes
        told = {
            "Authorization": f"Bearer {token('alice')}",
            "X-Forwarded-For": "6.6.6.6, 203.0.113.9",
        }
        async with connect(f"ws://{node.address}/ws", additional_headers=told, proxy=None) as alice:
            await alice.recv()
            key = bearer(apart.keys["read"])
            found = await ask(node.api_address, "GET", "/api/v1/users/alice", key)
            (session,) = found.document["sessions"]
            assert session["address"] == "203.0.113.9"

    @pytest.mark.one_server
    async def test_several_nodes_have_consecutive_ports_for_their_apis(
        self, tmp_path: Path
    ) -> None:
        overrides, keys = guarded(tmp_path, ops="read")
        port = free_port_range(4)
        environment = {
            "SWITCHBOARD_AUTH__MODE": "jwt",
            "SWITCHBOARD_AUTH__SECRET": SECRET,
            "SWITCHBOARD_API__KEYS_FILE": overrides["api"]["keys_file"],
            "SWITCHBOARD_API__PORT": str(port + 2),
        }
        up = ("up", "--json", "--nodes", "2", "--port", str(port))
        with Switchboard(tmp_path, *up, environment=environment) as switchboard:
            document = await asyncio.to_thread(switchboard.document)
            apis = [node["api"] for node in document["nodes"]]
            assert apis == [f"http://127.0.0.1:{port + 2}/", f"http://127.0.0.1:{port + 3}/"]
            for number in (2, 3):
                address = f"127.0.0.1:{port + number}"
                told = await ask(address, "GET", "/api/v1/nodes", bearer(keys["ops"]))
                assert [node["name"] for node in told.document["nodes"]] == ["n1", "n2"]

    async def test_a_file_of_keys_that_cannot_be_read_stops_the_start_with_one_line(
        self, tmp_path: Path
    ) -> None:
        environment = {
            "SWITCHBOARD_AUTH__MODE": "jwt",
            "SWITCHBOARD_AUTH__SECRET": SECRET,
            "SWITCHBOARD_API__KEYS_FILE": "none.toml",
        }
        with Switchboard(tmp_path, "up", environment=environment) as switchboard:
            assert await asyncio.to_thread(switchboard.wait) == 2
            (line,) = switchboard.said
            assert "api.keys_file: none.toml: No such file or directory; `switchboard key" in line

    async def test_what_refuses_is_json_with_every_header(self, apart: Doors) -> None:
        (node,) = apart.cluster.nodes
        for address in (node.address, node.api_address):
            for told in (
                await ask(address, "GET", "/api/v1/nodes"),
                await ask(address, "GET", "/nothing"),
                await knock(address, ""),
            ):
                assert json.loads(told.body)["status"] == told.status
                assert told.headers["X-Content-Type-Options"] == "nosniff"
                assert "frame-ancestors 'none'" in told.headers["Content-Security-Policy"]
                assert "Server" not in told.headers
