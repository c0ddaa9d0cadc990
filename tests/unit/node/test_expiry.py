import asyncio
import math
import time
from collections.abc import AsyncIterator

import pytest

from node import expiry as expiry_module
from node.auth import Gate, choose
from node.auth.jwt import TokenGate
from node.expiry import Expiry, notice_s
from node.frames import RefreshFrame
from node.identity import Identity, Right
from node.session import ClientSession
from router.counts import Counts
from router.service import Services
from router.settings import AuthSettings
from tests.support.logs import Logs
from tests.support.sessions import RecordingSocket, Sessions
from tests.support.tokens import SECRET, token
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry_module, "_TICK_S", 0.01)


@pytest.fixture
def gate() -> Gate:
    return choose(AuthSettings.model_validate({"mode": "jwt", "secret": SECRET}))


@pytest.fixture
async def expiry(gate: Gate) -> AsyncIterator[Expiry]:
    made = Expiry(gate, 10.0, Services(), Counts())
    made.start()
    yield made
    await made.stop()


def session_until(expires_at: float) -> tuple[ClientSession, RecordingSocket]:
    session, socket = Sessions().make()
    session.identity = Identity(session.user, expires_at=expires_at)
    return session, socket


async def test_one_whose_time_is_over_is_closed_with_a_goodbye(expiry: Expiry) -> None:
    session, socket = session_until(time.time() - 11)
    expiry.watch(session)
    await eventually(lambda: session.closed)
    assert socket.closed_with == (4401, "the token has expired")
    assert [frame["type"] for frame in socket.said()][-1] == "goodbye"


async def test_within_the_leeway_it_is_told_and_not_closed(expiry: Expiry) -> None:
    late, socket = session_until(time.time() - 5)
    over, _ = session_until(time.time() - 11)
    expiry.watch(late)
    expiry.watch(over)
    await eventually(lambda: over.closed)
    assert not late.closed
    assert socket.said() == [{"type": "expiring", "expires_at": late.identity.expires_at}]


async def test_one_that_does_not_end_or_has_gone_is_not_watched(expiry: Expiry) -> None:
    for_ever, _ = session_until(math.inf)
    gone, _ = session_until(time.time() - 11)
    over, _ = session_until(time.time() - 11)
    for session in (for_ever, gone, over):
        expiry.watch(session)
    expiry.drop(gone)
    expiry.drop(gone)
    await eventually(lambda: over.closed)
    assert not for_ever.closed
    assert not gone.closed
    assert len(expiry._ends) == len(expiry._notices) == 0


@pytest.mark.parametrize(
    ("life_s", "expected_s"), [(3_600, 60), (240, 60), (120, 30), (4, 1), (0, 0), (-9, 0)]
)
def test_it_is_told_a_minute_or_a_quarter_of_its_life_before(
    life_s: float, expected_s: float
) -> None:
    assert notice_s(life_s) == expected_s


async def test_a_new_token_renews_it_and_its_rights(expiry: Expiry) -> None:
    session, socket = session_until(time.time() - 9)
    expiry.watch(session)
    expiry.refresh(session, RefreshFrame(token(life_s=900, can=["send"]), 7))
    await eventually(lambda: session.identity.rights == {Right.SEND})
    (told,) = [frame for frame in socket.said() if frame["type"] == "refreshed"]
    assert told == {"type": "refreshed", "expires_at": session.identity.expires_at, "ref": 7}
    assert told["expires_at"] > time.time() + 800
    assert len(expiry._ends) == 1


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (token(user="bob"), "forbidden", "another user's"),
        (token(device="phone"), "forbidden", "for the device 'phone'"),
        (token(life_s=-60), "unauthenticated", "expired"),
        ("nonsense", "unauthenticated", "no JWT"),
        ("", "unauthenticated", "no JWT"),
    ],
)
async def test_another_token_is_refused_and_the_session_lives_on(
    expiry: Expiry, text: str, code: str, words: str
) -> None:
    session, socket = session_until(time.time() + 900)
    before = session.identity
    expiry.refresh(session, RefreshFrame(text, 7))
    (told,) = await eventually(socket.said)
    assert (told["type"], told["code"], told["ref"]) == ("error", code, 7)
    assert words in told["message"]
    assert session.identity is before
    assert not session.closed


async def test_its_own_device_may_be_named(expiry: Expiry) -> None:
    session, socket = session_until(time.time() + 900)
    expiry.refresh(session, RefreshFrame(token(device="web")))
    (told,) = await eventually(socket.said)
    assert told["type"] == "refreshed"


class SlowGate(TokenGate):
    """Looks at tokens when it is told to."""

    def __init__(self) -> None:
        settings = AuthSettings.model_validate({"mode": "jwt", "secret": SECRET})
        super().__init__(settings, lambda request, scope: None, lambda request: True, Counts())
        self.go = asyncio.Event()

    async def renew(self, token: str) -> Identity:
        await self.go.wait()
        if token == "bug":
            raise ZeroDivisionError
        return await super().renew(token)


async def test_one_token_of_a_session_is_looked_at_at_a_time() -> None:
    slow = SlowGate()
    expiry = Expiry(slow, 10.0, Services(), Counts())
    session, socket = session_until(time.time() + 900)
    for ref in (1, 2, 3):
        expiry.refresh(session, RefreshFrame(token(), ref))
    assert [(frame["code"], frame["ref"]) for frame in socket.said()] == [
        ("too_many", 2),
        ("too_many", 3),
    ]
    slow.go.set()
    (told,) = await eventually(socket.said)
    assert told["ref"] == 1
    await expiry.stop()


async def test_one_that_closes_meanwhile_is_not_watched_again() -> None:
    slow = SlowGate()
    expiry = Expiry(slow, 10.0, Services(), Counts())
    session, _ = session_until(time.time() + 900)
    expiry.refresh(session, RefreshFrame(token()))
    session.gone()
    slow.go.set()
    await eventually(lambda: not expiry._renewing)
    assert len(expiry._ends) == 0


async def test_a_fault_in_looking_is_logged_and_counted(logs: Logs) -> None:
    logs.expect("a token could not be looked at")
    slow = SlowGate()
    counts = Counts()
    expiry = Expiry(slow, 10.0, Services(), counts)
    slow.go.set()
    session, _ = session_until(time.time() + 900)
    expiry.refresh(session, RefreshFrame("bug"))
    await eventually(lambda: counts.failures["expiry"] == 1)
    assert not session.closed


async def test_many_that_end_together_are_closed_in_slices(
    expiry: Expiry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_module, "_SLICE", 2)
    all_of_them = [session_until(time.time() - 11)[0] for _ in range(5)]
    for session in all_of_them:
        expiry.watch(session)
    await eventually(lambda: all(session.closed for session in all_of_them))


def test_a_token_is_not_shown_when_a_frame_is_printed() -> None:
    assert "nonsense" not in repr(RefreshFrame("nonsense"))


async def test_who_is_not_renewed_by_tokens_is_not_told_before_the_end() -> None:
    expiry = Expiry(choose(AuthSettings(), lambda request: "alice"), 0.0, Services(), Counts())
    session, socket = session_until(time.time() - 2)
    expiry.watch(session)
    expiry.start()
    await eventually(lambda: session.closed)
    assert [frame["type"] for frame in socket.said()] == ["goodbye"]
    other, socket = session_until(math.inf)
    expiry.refresh(other, RefreshFrame("x"))
    (told,) = await eventually(socket.said)
    assert told["code"] == "unauthenticated"
    await expiry.stop()
