"""What every address of the API does before its own work: who may call, and how much may come."""

import asyncio
import re
from typing import ClassVar

import pytest

from node.auth.dev import check_local
from node.handlers.base import MAX_BODY_BYTES
from router.errors import Forbidden
from tests.support.api_case import ApiCase

LOCAL_HOSTS = [
    "127.0.0.1",
    "127.0.0.1:8001",
    "127.9.9.9:1",
    "[::1]:8001",
    "localhost",
    "LOCALHOST:1",
]
FOREIGN_HOSTS = [
    *("evil.example", "evil.example:8001", "127.0.0.1.evil.example", "localhost.evil.example"),
    *("192.168.1.7:8001", "[::2]:8001", "0.0.0.0:8001", "[::1", "", "user@evil.example"),
]


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_this_machine_may_call_by_any_of_its_names(host: str) -> None:
    check_local(host, None)
    check_local(host, f"http://{host}")
    check_local(host, f"https://{host}")


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_name_from_elsewhere_is_refused_as_host_and_as_origin(host: str) -> None:
    with pytest.raises(Forbidden, match="Host: "):
        check_local(host, None)
    with pytest.raises(Forbidden, match="Origin: "):
        check_local("localhost", f"http://{host}")


@pytest.mark.parametrize("origin", ["null", "", "file://", "http://localhost@evil.example"])
def test_a_page_without_an_address_of_this_machine_is_refused(origin: str) -> None:
    with pytest.raises(Forbidden):
        check_local("localhost", origin)


class GuardTest(ApiCase):
    def test_every_address_is_guarded(self) -> None:
        for method, path, body in (
            ("POST", "/api/v1/users/alice/messages", {"data": 1}),
            ("POST", "/api/v1/messages", {"to": ["alice"], "data": 1}),
            ("POST", "/api/v1/broadcast", {"data": 1}),
            ("GET", "/api/v1/users", None),
            ("POST", "/api/v1/users/query", {"users": []}),
            ("GET", "/api/v1/users/query", None),
            ("GET", "/api/v1/users/alice", None),
            ("DELETE", "/api/v1/users/alice/sessions", None),
            ("DELETE", "/api/v1/users/alice/sessions/s1", None),
            ("GET", "/api/v1/nodes", None),
            ("GET", "/api/v1/stats", None),
            ("GET", "/api/v1/openapi.json", None),
        ):
            with self.subTest(method=method, path=path):
                foreign_page = self.ask(method, path, body, Origin="https://evil.example")
                self.assert_problem(foreign_page, 403, "forbidden")
                rebound_name = self.ask(method, path, body, Host="evil.example:8001")
                self.assert_problem(rebound_name, 403, "forbidden")

    def test_everybody_may_ask_for_its_health(self) -> None:
        for path in ("/healthz", "/readyz"):
            assert self.ask("GET", path, Origin="https://evil.example").status == 200

    def test_a_page_of_this_machine_may_call(self) -> None:
        answer = self.ask("GET", "/api/v1/nodes", Origin="http://localhost:8001")
        assert answer.status == 200
        assert "Access-Control-Allow-Origin" not in answer.headers

    def test_a_preflight_is_not_answered(self) -> None:
        answer = self.ask("OPTIONS", "/api/v1/messages", Origin="https://evil.example")
        self.assert_problem(answer, 405, "method_not_allowed")
        assert "Access-Control-Allow-Origin" not in answer.headers


class AddressTest(ApiCase):
    def test_an_address_that_is_not_there_is_404(self) -> None:
        for path in ("/api", "/api/", "/api/v1", "/api/v2/users", "/api/v1/users/a/b", "/api/v1/x"):
            self.assert_problem(self.ask("GET", path), 404, "not_found")
        self.assert_problem(self.ask("POST", "/api/v1/x", {"data": 1}), 404, "not_found")

    def test_a_method_that_is_not_there_is_405(self) -> None:
        for method, path, allowed in (
            ("GET", "/api/v1/messages", "POST"),
            ("PUT", "/api/v1/users", "GET"),
            ("GET", "/api/v1/users/alice/sessions", "DELETE"),
            ("DELETE", "/api/v1/users/query", "GET, POST"),
            ("POST", "/healthz", "GET, HEAD"),
            ("FROB", "/api/v1/nodes", "GET"),
        ):
            answer = self.ask(method, path, {} if method in ("PUT", "POST") else None)
            self.assert_problem(answer, 405, "method_not_allowed")
            assert answer.headers["Allow"] == allowed


class BodyTest(ApiCase):
    overrides: ClassVar = {"node": {"max_message_bytes": 1024}}
    PATH = "/api/v1/users/alice/messages"
    LIMIT = 1024 + 65_536

    def test_a_body_over_the_limit_is_refused_after_it_was_sent(self) -> None:
        body = b'{"data":"' + b"x" * 3_000_000 + b'"}'
        answer = self.ask("POST", self.PATH, body)
        self.assert_problem(answer, 413, "too_large", "body")
        assert answer.document["limit_bytes"] == self.LIMIT
        assert answer.document["size_bytes"] == len(body)

    def test_a_body_at_the_limit_is_looked_at(self) -> None:
        body = b'{"data":1}'.ljust(self.LIMIT)
        assert self.ask("POST", self.PATH, body).status == 200
        self.assert_problem(self.ask("POST", self.PATH, body + b" "), 413, "too_large", "body")

    def test_a_connection_whose_body_was_refused_can_be_used_again(self) -> None:
        big = b"x" * (self.LIMIT + 1)
        first = request("POST", self.PATH, len(big)) + big
        second = request("GET", "/healthz")
        assert self.wait_for(self.statuses(first + second, 2)) == [413, 200]

    def test_a_client_that_asks_first_is_told_before_it_sends(self) -> None:
        head = request("POST", self.PATH, self.LIMIT + 1, "Expect: 100-continue")
        assert self.wait_for(self.statuses(head, 1)) == [413]

    def test_a_client_that_asks_first_and_may_send_is_asked_to(self) -> None:
        body = b'{"data":1}'
        head = request("POST", self.PATH, len(body), "Expect: 100-continue")
        assert self.wait_for(self.statuses(head + body, 2)) == [100, 200]

    def test_a_body_beyond_all_measure_is_not_waited_for(self) -> None:
        head = request("POST", self.PATH, MAX_BODY_BYTES + 1)
        assert self.wait_for(self.statuses(head, 1)) == [413]

    def test_a_body_in_chunks_is_bounded_too(self) -> None:
        chunk = b"%x\r\n" % 50_000 + b"x" * 50_000 + b"\r\n"
        head = request("POST", self.PATH, None, "Transfer-Encoding: chunked")
        body = chunk * 2 + b"0\r\n\r\n"
        assert self.wait_for(self.statuses(head + body, 1)) == [413]

    async def statuses(self, sent: bytes, count: int) -> list[int]:
        """Return the statuses of the first `count` answers to what is sent, body or no body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.get_http_port())
        writer.write(sent)
        statuses = []
        for _ in range(count):
            head = await reader.readuntil(b"\r\n\r\n")
            statuses.append(int(head.split(b" ")[1]))
            length = re.search(rb"Content-Length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
        writer.close()
        await writer.wait_closed()
        return statuses


def request(method: str, path: str, length: int | None = None, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
