import asyncio
from typing import Any

import pytest
from tornado.httputil import HTTPServerRequest

from node.auth import choose
from node.auth.dev import DevGate
from node.auth.gate import Gate, Scope
from node.auth.hook import HookedGate
from node.identity import Identity
from router.counts import Counts
from router.errors import (
    ApplicationFailed,
    Forbidden,
    InvalidSettings,
    InvalidUser,
    SwitchboardError,
    Unauthenticated,
)
from router.model import UserId
from router.settings import AuthSettings
from tests.support.logs import Logs
from tests.support.requests import handshake
from tests.support.tokens import SECRET

FAILED = "authenticate has failed"


def gate(authenticate: Any, deadline_s: float = 10.0) -> HookedGate:
    return HookedGate(authenticate, DevGate(), Counts(), deadline_s)


def answering(what: Any) -> list[HookedGate]:
    """Return a gate whose function returns it, and one whose function is to be awaited for it."""

    def at_once(request: HTTPServerRequest) -> Any:
        return what

    async def later(request: HTTPServerRequest) -> Any:
        await asyncio.sleep(0)
        return what

    return [gate(at_once), gate(later)]


async def test_a_user_id_is_enough() -> None:
    for each in answering("alice"):
        assert await each.identify(handshake()) == Identity(UserId("alice"))


async def test_an_identity_says_more() -> None:
    identity = Identity(UserId("alice"), "phone", frozenset(), expires_at=7.0)
    for each in answering(identity):
        assert await each.identify(handshake()) is identity


async def test_it_is_given_the_request() -> None:
    each = gate(lambda request: request.headers["X-User"])
    assert (await each.identify(handshake("", ("X-User", "bob")))).user == "bob"


async def test_nobody_is_refused() -> None:
    for each in answering(None):
        with pytest.raises(Unauthenticated, match="does not know who this is"):
            await each.identify(handshake())
        assert each._counts.failures["authenticate"] == 0


@pytest.mark.parametrize("error", [Unauthenticated("no ticket"), Forbidden("not today")])
async def test_it_may_say_why_not(error: SwitchboardError) -> None:
    def authenticate(request: HTTPServerRequest) -> str:
        raise error

    with pytest.raises(type(error), match=str(error)):
        await gate(authenticate).identify(handshake())


@pytest.mark.parametrize("nonsense", [7, True, b"alice", ["alice"], {"user": "alice"}])
async def test_what_is_no_user_is_a_mistake_of_the_application(nonsense: Any, logs: Logs) -> None:
    logs.expect(FAILED)
    for each in answering(nonsense):
        with pytest.raises(ApplicationFailed):
            await each.identify(handshake())
        assert each._counts.failures["authenticate"] == 1


async def test_a_user_id_that_breaks_the_rules_is_refused() -> None:
    for each in answering("a b"):
        with pytest.raises(InvalidUser):
            await each.identify(handshake())


async def test_what_it_raises_is_logged_and_not_told(logs: Logs) -> None:
    logs.expect(FAILED)

    def authenticate(request: HTTPServerRequest) -> str:
        raise KeyError("the password is 1234")

    each = gate(authenticate)
    with pytest.raises(ApplicationFailed) as caught:
        await each.identify(handshake())
    assert "1234" not in str(caught.value)
    assert each._counts.failures["authenticate"] == 1
    assert len(logs.events(FAILED)) == 1


async def test_one_that_hangs_is_given_up(logs: Logs) -> None:
    logs.expect(FAILED)
    ended = asyncio.Event()

    async def authenticate(request: HTTPServerRequest) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "alice"

    with pytest.raises(ApplicationFailed):
        await gate(authenticate, deadline_s=0.01).identify(handshake())
    assert ended.is_set()


async def test_its_sessions_are_not_renewed_by_tokens() -> None:
    with pytest.raises(Unauthenticated, match="connect again"):
        await gate(lambda request: "alice").renew("a.b.c")


class TestChoosing:
    @staticmethod
    def choose(authenticate: Any = None, **settings: Any) -> Gate:
        return choose(AuthSettings.model_validate(settings), authenticate)

    async def test_the_application_comes_before_the_mode(self) -> None:
        for settings in ({}, {"mode": "application"}, {"mode": "jwt", "secret": SECRET}):
            found = self.choose(lambda request: "alice", **settings)
            assert (await found.identify(handshake("?user=bob"))).user == "alice"

    def test_its_mode_is_for_a_node_inside_a_program(self) -> None:
        with pytest.raises(InvalidSettings, match=r"Node\.start\(settings, authenticate"):
            self.choose(mode="application")

    @pytest.mark.parametrize("mode", ["application", "jwt"])
    def test_outside_of_dev_nobody_calls_without_a_key(self, mode: str) -> None:
        found = self.choose(lambda request: "alice", mode=mode, secret=SECRET)
        with pytest.raises(Unauthenticated, match="needs a key"):
            found.authorize(handshake(), Scope.ADMIN)

    @pytest.mark.parametrize(
        ("origin", "allowed"),
        [
            ("http://localhost", True),
            ("https://localhost", False),
            ("http://localhost:8001", False),
            ("http://example.com", False),
            ("null", False),
            ("", False),
        ],
    )
    def test_outside_of_dev_only_its_own_pages_connect(self, origin: str, allowed: bool) -> None:
        found = self.choose(mode="jwt", secret=SECRET)
        assert found.allows_origin(handshake("", ("Origin", origin))) is allowed
        assert found.allows_origin(handshake()) is True
