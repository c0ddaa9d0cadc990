"""`POST /api/v1/tickets` where no key is asked for; with keys and tokens see test_doors."""

import json

import pytest
from tornado.httpclient import HTTPClientError
from tornado.testing import gen_test
from tornado.websocket import websocket_connect

from tests.support.api_case import ApiCase

PATH = "/api/v1/tickets"


class TicketsTest(ApiCase):
    @gen_test
    async def test_one_connection_is_the_user_and_the_device_it_was_made_for(self) -> None:
        order = {"user": "alice", "device": "phone", "can": ["send"], "to": ["bob"], "ttl_s": 5}
        answer = await self.http_client.fetch(
            self.get_url(PATH), method="POST", body=json.dumps(order)
        )
        assert answer.code == 201
        ticket = json.loads(answer.body)
        assert sorted(ticket) == ["expires_at", "ticket"]
        address = f"ws://127.0.0.1:{self.get_http_port()}/ws?token={ticket['ticket']}"
        client = await websocket_connect(address)
        welcome = json.loads(await client.read_message() or "")
        assert (welcome["user"], welcome["device"]) == ("alice", "phone")
        for to, kind in (("carol", "error"), ("bob", "outcome")):
            await client.write_message(json.dumps({"type": "send", "to": to, "data": 1}))
            assert json.loads(await client.read_message() or "")["type"] == kind
        with pytest.raises(HTTPClientError, match="401"):
            await websocket_connect(address)
        client.close()

    def test_what_cannot_be_is_refused_naming_it(self) -> None:
        for body, code, field in (
            ({}, "invalid_request", "user"),
            ({"user": "a b"}, "invalid_user", "user"),
            ({"user": "alice", "device": "a/b"}, "invalid_request", "device"),
            ({"user": "alice", "ttl_s": 31}, "invalid_request", "ttl_s"),
            ({"user": "alice", "ttl_s": 0}, "invalid_request", "ttl_s"),
            ({"user": "alice", "can": ["fly"]}, "invalid_request", "can[0]"),
            ({"user": "alice", "to": [""]}, "invalid_request", "to[0]"),
            ({"user": "alice", "admin": True}, "invalid_request", "admin"),
        ):
            with self.subTest(body=body):
                self.assert_problem(self.ask("POST", PATH, body), 422, code, field)

    def test_pages_from_elsewhere_get_none(self) -> None:
        foreign = self.ask("POST", PATH, {"user": "alice"}, Origin="https://evil.example")
        self.assert_problem(foreign, 403, "forbidden")
