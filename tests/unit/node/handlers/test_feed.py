"""The WebSocket of the operator's page, over a real socket and a real store."""

import json
import sys
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httputil import HTTPServerRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from node.auth import Scope
from node.auth.dev import DevGate
from node.feed import PROTOCOL
from node.handlers import feed as feed_handler
from router.errors import Unauthenticated
from tests.support.api_case import ApiCase
from tests.support.waiting import eventually


class FeedTest(ApiCase):
    def setUp(self) -> None:
        super().setUp()
        self.pages: list[WebSocketClientConnection] = []

    async def open(self, **headers: str) -> WebSocketClientConnection:
        url = f"ws://127.0.0.1:{self.get_http_port()}/dashboard/feed"
        offered = [PROTOCOL, "switchboard.bearer.sb_ops_secret"]
        request = HTTPRequest(url, headers=headers)
        page = await websocket_connect(request, subprotocols=offered)
        self.pages.append(page)
        return page

    def tearDown(self) -> None:
        for page in self.pages:
            page.close()
        super().tearDown()

    async def frame(self, page: WebSocketClientConnection) -> Any:
        return json.loads(str(await page.read_message()))

    def test_it_tells_the_cluster_as_it_is(self) -> None:
        self.connect_user("alice")
        self.connect_user("alice", device="web")
        self.connect_user("bob")
        self.wait_for(self.as_it_is())

    async def as_it_is(self) -> None:
        page = await self.open()
        assert page.selected_subprotocol == PROTOCOL
        self.node.member.endpoint.check_now()
        while (frame := await self.frame(page))["sessions"] != 3:
            pass
        assert (frame["type"], frame["users"]) == ("cluster", 2)
        [node] = frame["nodes"]
        assert (node["name"], node["state"], node["sessions"]) == ("n1", "live", 3)
        assert node["lag_ms"] >= 0
        if sys.platform == "linux":
            assert node["rss_bytes"] > 1_000_000
        assert frame["latency_ms"].keys() == {"p50", "p99"}
        assert "delivered" in frame["per_second"]

    def test_a_page_that_closes_is_forgotten(self) -> None:
        self.wait_for(self.forgotten())

    async def forgotten(self) -> None:
        page = await self.open()
        await self.frame(page)
        assert len(self.node.feed) == 1
        await page.write_message("hello?")  # nobody listens, and nothing comes of it
        page.close()
        await eventually(lambda: len(self.node.feed) == 0)

    def test_a_foreign_page_or_a_foreign_name_is_refused(self) -> None:
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            assert self.refusal(**headers)["code"] == "forbidden"

    def refusal(self, **headers: str) -> Any:
        with pytest.raises(HTTPClientError) as failed:
            self.wait_for(self.open(**headers))
        assert failed.value.response is not None
        assert failed.value.response.headers["Content-Type"] == "application/problem+json"
        return json.loads(failed.value.response.body)

    def test_it_asks_for_the_right_to_do_everything(self) -> None:
        asked: list[Scope] = []

        def authorize(_: DevGate, request: HTTPServerRequest, scope: Scope) -> None:
            asked.append(scope)
            raise Unauthenticated("an API key is needed")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DevGate, "authorize", authorize)
            assert self.refusal()["code"] == "unauthenticated"
        assert asked == [Scope.ADMIN]

    def test_too_many_pages_are_refused(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(feed_handler, "_MOST", 1)
            self.wait_for(self.open())
            self.wait_for(eventually(lambda: len(self.node.feed) == 1))
            assert self.refusal()["code"] == "too_many"

    def test_a_node_that_stops_says_so(self) -> None:
        page = self.wait_for(self.open())
        self.wait_for(self.node.stop())
        self.wait_for(self.closed(page))
        assert page.close_code == 1001

    async def closed(self, page: WebSocketClientConnection) -> None:
        while await page.read_message() is not None:
            pass
