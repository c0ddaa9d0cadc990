"""Who sent a request that came through proxies, and whose word is not taken for it."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from tornado.testing import AsyncHTTPTestCase, gen_test
from tornado.web import Application, RequestHandler

from node.proxies import Proxies, ThroughProxies

OURS = Proxies(["10.0.0.0/8", "192.0.2.7", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "told", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),  # not through a proxy of ours
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),  # the left one is the client's own fancy
        ("10.0.0.1", "6.6.6.6,10.9.9.9, 1.2.3.4 ,192.0.2.7", "1.2.3.4"),
        ("10.0.0.1", "10.0.0.2,10.0.0.3", "10.0.0.2"),
        ("192.0.2.8", "1.2.3.4", "192.0.2.8"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.1", "1.2.3.4:50123", "1.2.3.4"),
        ("::ffff:10.0.0.1", "::ffff:1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4, _hidden", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4, ", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4\x00", "10.0.0.1"),
        ("10.0.0.1", "[::1", "::1"),
        ("not an address", "1.2.3.4", "not an address"),
    ],
)
def test_the_sender_is_the_first_from_the_right_who_is_no_proxy(
    peer: str, told: str, client: str
) -> None:
    assert OURS.client_of(peer, told) == client


@pytest.mark.parametrize(
    ("peer", "told", "scheme"),
    [
        ("10.0.0.1", "https", "https"),
        ("10.0.0.1", "HTTPS ", "https"),
        ("10.0.0.1", "https, http", "http"),  # the right one is our proxy's
        ("10.0.0.1", "http, https", "https"),
        ("10.0.0.1", "wss", "http"),
        ("10.0.0.1", "", "http"),
        ("203.0.113.9", "https", "http"),
    ],
)
def test_only_a_proxy_of_ours_says_how_a_request_came(peer: str, told: str, scheme: str) -> None:
    assert OURS.scheme_of(peer, "http", told) == scheme


class Seen(RequestHandler):
    """Answers with whom it takes the request to be from, and how it came."""

    def get(self) -> None:
        self.finish(json.dumps([self.request.remote_ip, self.request.protocol]))


class BehindAProxyTest(AsyncHTTPTestCase):
    trusted: Sequence[str] = ("127.0.0.1",)

    def get_app(self) -> ThroughProxies:  # type: ignore[override]  # all a server needs
        app = Application([("/", Seen)], log_function=lambda handler: None)
        return ThroughProxies(app, Proxies(self.trusted))

    async def ask(self, *headers: Sequence[str]) -> list[list[str]]:
        """Return what was seen of several requests on one connection, each with its headers."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.get_http_port())
        seen = []
        for lines in headers:
            head = ["GET / HTTP/1.1", "Host: localhost", *lines]
            writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
            answer = await reader.readuntil(b"]")
            seen.append(json.loads(answer.partition(b"\r\n\r\n")[2]))
        writer.close()
        await writer.wait_closed()
        return seen

    @gen_test
    async def test_each_request_of_a_connection_has_its_own_sender(self) -> None:
        assert await self.ask(
            ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"],
            [],
            ["X-Forwarded-For: 5.6.7.8"],
        ) == [["1.2.3.4", "https"], ["127.0.0.1", "http"], ["5.6.7.8", "http"]]

    @gen_test
    async def test_of_repeated_headers_the_last_one_is_the_proxys(self) -> None:
        assert await self.ask(
            ["X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 1.2.3.4"],
            ["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"],
        ) == [["1.2.3.4", "http"], ["127.0.0.1", "http"]]

    @gen_test
    async def test_other_headers_that_say_the_same_are_not_read(self) -> None:
        lines = ["X-Real-Ip: 6.6.6.6", "X-Scheme: https", "Forwarded: for=6.6.6.6;proto=https"]
        assert await self.ask(lines) == [["127.0.0.1", "http"]]


class WithoutAProxyTest(BehindAProxyTest):
    trusted = ()

    @gen_test
    async def test_each_request_of_a_connection_has_its_own_sender(self) -> None:
        told = ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https"]
        assert await self.ask(told) == [["127.0.0.1", "http"]]

    @gen_test
    async def test_of_repeated_headers_the_last_one_is_the_proxys(self) -> None:
        told = ["X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 1.2.3.4"]
        assert await self.ask(told) == [["127.0.0.1", "http"]]
