import json
from collections.abc import Sequence
from typing import Any, cast

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httputil import HTTPServerRequest
from tornado.testing import AsyncHTTPTestCase, gen_test
from tornado.web import Application
from tornado.websocket import WebSocketClientConnection, websocket_connect

from node.admission import Admission
from node.auth.dev import DevGate
from node.auth.tickets import Tickets
from node.expiry import Expiry
from node.frames import JSON_PROTOCOL, MSGPACK_PROTOCOL
from node.handlers.ws import ClientHandler, WebSocketContext
from node.inbound import Inbound
from node.pace import Limits
from node.presence import Presence
from node.session import ClientSession
from node.sockets import frame
from router.counts import Counts
from router.model import START, Offset, UserId
from router.service import Services
from router.settings import LimitSettings
from tests.support.sessions import welcome
from tests.support.waiting import eventually, rounds


class Door:
    """Stands in for presence and inbound, and remembers what the handler hands them."""

    def __init__(self) -> None:
        self.closed_because: str | None = None
        self.here: list[ClientSession] = []
        self.left: list[ClientSession] = []
        self.heard: list[str | bytes] = []

    async def holder_of(self, request: HTTPServerRequest) -> None:
        return None

    def __len__(self) -> int:
        return len(self.here)

    def get(self, user: UserId) -> Sequence[ClientSession]:
        return ()

    def arrive(self, session: ClientSession) -> None:
        self.here.append(session)

    def leave(self, session: ClientSession) -> None:
        self.left.append(session)

    def frame(self, session: ClientSession, payload: str | bytes) -> None:
        self.heard.append(payload)

    async def session(self) -> ClientSession:
        await eventually(lambda: self.here)
        return self.here[-1]


class WebSocketTest(AsyncHTTPTestCase):
    def get_app(self) -> Application:
        self.door = Door()
        self.limits = Limits(LimitSettings())
        self.admission = Admission(
            self.limits,
            Counts(),
            self.door,
            "jwt",
        )
        context = WebSocketContext(
            gate=DevGate(),
            tickets=cast(Tickets, self.door),
            admission=self.admission,
            accepting=lambda: self.door.closed_because,
            presence=cast(Presence, self.door),
            inbound=cast(Inbound, self.door),
            expiry=Expiry(DevGate(), 10.0, Services(), Counts()),
            on_ack=lambda session, offset: None,
            max_waiting_bytes=10_000,
        )
        self.clients: list[WebSocketClientConnection] = []
        return Application(
            [(r"/ws", ClientHandler, {"context": context})], log_function=lambda handler: None
        )

    def tearDown(self) -> None:
        for session in self.door.here:
            session.abort()
        self.io_loop.run_sync(rounds)  # the transports end
        super().tearDown()

    async def connect(self, query: str, **headers: str) -> WebSocketClientConnection:
        return await self.offer(query, [], **headers)

    async def offer(
        self, query: str, subprotocols: list[str], **headers: str
    ) -> WebSocketClientConnection:
        url = self.get_url(f"/ws{query}").replace("http", "ws", 1)
        request = HTTPRequest(url, headers=headers)
        client = await websocket_connect(request, subprotocols=subprotocols)
        self.clients.append(client)
        return client

    async def refusal(self, query: str, **headers: str) -> tuple[int, dict[str, Any]]:
        with pytest.raises(HTTPClientError) as caught:
            await self.connect(query, **headers)
        answer = caught.value.response
        assert answer is not None
        self.retry_after = answer.headers.get("Retry-After")
        problem = "problem+json" in answer.headers.get("Content-Type", "")
        return answer.code, json.loads(answer.body) if problem else {}

    async def all_leave(self) -> None:
        for client in self.clients:
            client.close()
        await eventually(lambda: len(self.door.left) == len(self.door.here))

    # ---- the handshake ----------------------------------------------------------------------

    @gen_test
    async def test_a_session_is_what_the_handshake_said(self) -> None:
        await self.connect("?user=alice&device=phone")
        session = await self.door.session()
        assert (session.user, session.device) == ("alice", "phone")
        assert (session.address, session.closed) == ("127.0.0.1", False)
        assert session.codec.protocol == JSON_PROTOCOL
        await self.all_leave()

    @gen_test
    async def test_a_device_without_a_name_is_the_default_one(self) -> None:
        await self.connect("?user=alice")
        assert (await self.door.session()).device == "default"
        await self.all_leave()

    @gen_test
    async def test_a_client_may_say_where_it_goes_on_and_who_acknowledges(self) -> None:
        await self.connect("?user=alice&since=1795419635120-7&ack=manual")
        session = await self.door.session()
        assert session.place.asked == Offset(1_795_419_635_120, 7)
        session.resume(START, whole=True)
        session.put_durable("m1", Offset(5, 0), b"")
        assert not session.unproved
        await self.all_leave()

    @gen_test
    async def test_by_itself_it_goes_on_from_its_cursor_and_its_pongs_acknowledge(self) -> None:
        for query in ("", "&since=&ack=auto"):
            await self.connect(f"?user=alice{query}")
            session = await self.door.session()
            assert session.place.asked is None
            session.resume(START, whole=True)
            session.put_durable("m1", Offset(5, 0), b"")
            assert session.unproved
        await self.all_leave()

    @gen_test
    async def test_the_start_of_the_mailbox_is_a_place_too(self) -> None:
        await self.connect("?user=alice&since=0-0")
        assert (await self.door.session()).place.asked == START
        await self.all_leave()

    @gen_test
    async def test_a_place_or_a_way_that_is_none_is_refused_naming_it(self) -> None:
        for query, field in (
            ("since=5", "since"),
            ("since=soon", "since"),
            ("since=5-0-0", "since"),
            ("since=%D9%A5-0", "since"),
            ("ack=never", "ack"),
            ("ack=", "ack"),
        ):
            status, problem = await self.refusal(f"?user=alice&{query}")
            assert (status, problem["code"], problem["field"]) == (422, "invalid_request", field)

    @gen_test
    async def test_every_session_has_an_id_of_its_own(self) -> None:
        for _ in range(3):
            await self.connect("?user=alice")
        await eventually(lambda: len(self.door.here) == 3)
        assert len({session.id for session in self.door.here}) == 3
        await self.all_leave()

    @gen_test
    async def test_the_first_subprotocol_of_ours_is_taken(self) -> None:
        client = await self.offer("?user=alice", ["chat", MSGPACK_PROTOCOL, JSON_PROTOCOL])
        assert client.selected_subprotocol == MSGPACK_PROTOCOL
        assert (await self.door.session()).codec.protocol == MSGPACK_PROTOCOL
        await self.all_leave()

    @gen_test
    async def test_a_client_that_names_none_of_ours_speaks_json(self) -> None:
        client = await self.connect("?user=alice")
        assert client.selected_subprotocol is None
        assert (await self.door.session()).codec.protocol == JSON_PROTOCOL
        await self.all_leave()

    @gen_test
    async def test_a_node_that_takes_nobody_says_why_and_when_to_try_again(self) -> None:
        self.door.closed_because = "the node is stopping"
        status, problem = await self.refusal("?user=alice")
        assert (status, problem["code"]) == (503, "unavailable")
        assert "the node is stopping" in problem["detail"]
        assert self.retry_after == "1"

    @gen_test
    async def test_a_user_id_that_breaks_the_rules_is_refused_before_the_handshake(self) -> None:
        for query in ("", "?user=", "?user=a%20b", "?user=%7B%7D", "?user=" + "x" * 129):
            status, problem = await self.refusal(query)
            assert (status, problem["code"]) == (422, "invalid_user"), query
            assert "user" in problem["detail"]
        assert self.door.here == []

    @gen_test
    async def test_a_device_that_breaks_the_rules_is_refused_before_the_handshake(self) -> None:
        for device in ("", "a%20b", "x" * 65, "a/b", "%C3%A9"):
            status, problem = await self.refusal(f"?user=alice&device={device}")
            assert (status, problem["code"]) == (422, "invalid_request"), device
            assert "device" in problem["detail"]

    @gen_test
    async def test_pages_from_elsewhere_are_refused(self) -> None:
        for origin in ("https://example.com", "null", "http://[", "http://localhost.example.com"):
            status, problem = await self.refusal("?user=alice", Origin=origin)
            assert (status, problem["code"]) == (403, "forbidden"), origin
        assert self.door.here == []

    @gen_test
    async def test_a_foreign_name_that_points_here_is_refused(self) -> None:
        name = f"example.com:{self.get_http_port()}"
        status, _ = await self.refusal("?user=alice", Origin=f"http://{name}", Host=name)
        assert status == 403

    @gen_test
    async def test_pages_of_this_machine_are_let_in(self) -> None:
        for origin in ("http://localhost:8001", "http://127.0.0.1:8002"):
            await self.connect("?user=alice", Origin=origin)
        await eventually(lambda: len(self.door.here) == 2)
        await self.all_leave()

    @gen_test
    async def test_of_one_address_some_come_and_the_others_are_told_when(self) -> None:
        for _ in range(20):
            await self.connect("?user=alice")
        status, problem = await self.refusal("?user=alice")
        assert (status, problem["code"], self.retry_after) == (429, "too_many", "1")
        self.limits.now = LimitSettings(address_sessions=20)
        status, problem = await self.refusal("?user=alice")
        assert "127.0.0.1 has 20 sessions" in problem["detail"]
        assert (status, self.retry_after) == (429, "5")
        await self.all_leave()
        assert not self.admission._here

    def test_what_is_no_handshake_is_refused(self) -> None:
        assert self.fetch("/ws?user=alice").code == 400
        assert self.fetch("/ws?user=alice", method="POST", body="").code == 405

    # ---- afterwards -------------------------------------------------------------------------

    @gen_test
    async def test_frames_are_handed_on_as_they_came(self) -> None:
        client = await self.connect("?user=alice")
        await client.write_message('{"type":"ping"}')
        await client.write_message(b"\x01\x02", binary=True)
        await eventually(lambda: self.door.heard == ['{"type":"ping"}', b"\x01\x02"])
        await self.all_leave()

    @gen_test
    async def test_what_the_session_writes_reaches_the_client(self) -> None:
        client = await self.connect("?user=alice")
        session = await self.door.session()
        session.welcome(welcome(session))
        session.put(frame(b'"hello"', binary=False))
        session.flush()
        first = await client.read_message()
        assert first is not None
        assert json.loads(first)["session"] == session.id
        assert await client.read_message() == '"hello"'
        await self.all_leave()

    @gen_test
    async def test_a_ping_of_the_session_is_answered_by_any_client(self) -> None:
        await self.connect("?user=alice")
        session = await self.door.session()
        session.welcome(welcome(session))
        session.check()
        assert not session.heard
        await eventually(lambda: session.heard)
        await self.all_leave()

    @gen_test
    async def test_a_ping_of_the_client_shows_that_it_is_there(self) -> None:
        client = await self.connect("?user=alice")
        session = await self.door.session()
        session.heard = False
        client.ping(b"x")
        await eventually(lambda: session.heard)
        await self.all_leave()

    @gen_test
    async def test_a_client_that_leaves_ends_its_session(self) -> None:
        client = await self.connect("?user=alice")
        session = await self.door.session()
        client.close(1000, "bye")
        await eventually(lambda: session.closed)
        assert self.door.left == [session]

    @gen_test
    async def test_after_the_session_has_closed_frames_are_not_handed_on(self) -> None:
        client = await self.connect("?user=alice")
        session = await self.door.session()
        session.gone()
        await client.write_message('{"type":"ping"}')
        client.close()
        await eventually(lambda: self.door.left == [session])
        assert self.door.heard == []
