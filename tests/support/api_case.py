"""A real node over the real store, asked over HTTP; with WebSocket clients in the same loop."""

import json
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pytest
from tornado.httputil import HTTPHeaders
from tornado.testing import AsyncHTTPTestCase
from tornado.web import Application

from node.node import Node
from router.aio import Router
from router.settings import Settings
from router.store.embedded import EmbeddedServer
from tests.support.clients import Client

DEADLINE_S = 30.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `document` is the JSON of the body, None for an empty one."""

    status: int
    headers: HTTPHeaders
    document: Any


class ApiCase(AsyncHTTPTestCase):
    """A test that talks to one node; its prefix in the store is its own."""

    overrides: ClassVar[dict[str, dict[str, Any]]] = {}

    @pytest.fixture(autouse=True)
    def use_store(self, store: EmbeddedServer) -> None:
        self.url = store.address.url

    def setUp(self) -> None:
        super().setUp()
        self.clients: list[Client] = []
        self.start()

    def start(self) -> None:
        """Let the node join the cluster; a test without a store leaves that out."""
        self.wait_for(self.node.open())

    def get_app(self) -> Application:
        self.settings = self.make_settings()
        self.node = Node(self.settings, self.url)
        return Application(self.node.routes(), **self.node.app_settings())

    def make_settings(self) -> Settings:
        sections: dict[str, Any] = {
            "registry": {"prefix": f"t{secrets.token_hex(6)}"},
            "node": {"name": "n1", "port": 0, "drain_s": 5.0},
        }
        for section, values in self.overrides.items():
            sections[section] = {**sections.get(section, {}), **values}
        return Settings(**sections)

    def tearDown(self) -> None:
        for client in self.clients:
            self.wait_for(client.close())
        self.wait_for(self.node.stop())
        super().tearDown()

    @property
    def router(self) -> Router:
        return self.node.router

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the test's loop."""

        async def run() -> T:
            return await work

        result: T = self.io_loop.run_sync(run, timeout=DEADLINE_S)
        return result

    def connect_user(self, user: str, device: str = "default") -> Client:
        """Return a welcomed client; it is closed with the test."""
        address = f"127.0.0.1:{self.get_http_port()}"
        client = self.wait_for(Client.open(address, user, device=device))
        self.clients.append(client)
        return client

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Make a request.

        Args:
            method: GET, POST, ...
            path: with its query.
            body: bytes as they are, anything else as JSON; None for no body.
            headers: names with `_` for `-`.
        """
        payload = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.fetch(
            path,
            method=method,
            body=payload,
            allow_nonstandard_methods=True,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        document = json.loads(answer.body) if answer.body else None
        return Answer(answer.code, answer.headers, document)

    def assert_problem(self, answer: Answer, status: int, code: str, field: str = "") -> None:
        """Check that an answer is a problem document, and which."""
        told = answer.document
        assert answer.status == status, told
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert told["type"] == f"urn:switchboard:problem:{code}"
        assert (told["code"], told["status"], told.get("field", "")) == (code, status, field)
        assert told["title"]
        assert told["detail"]
