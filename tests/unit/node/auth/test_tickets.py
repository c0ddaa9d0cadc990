"""One-time tickets: taken once, on any node, and never longer than they say."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from node.auth.tickets import Tickets, is_ticket
from node.identity import ALL_RIGHTS, EVERYBODY, Identity, Recipients, Right
from router.errors import Unauthenticated
from router.keys import Keys
from router.member import Member
from router.model import UserId
from router.store.embedded import EmbeddedServer
from router.store.tickets import TicketStore
from tests.support.cluster import fast_settings
from tests.support.requests import handshake

ALICE = UserId("alice")


class Clock:
    """A wall clock that stands still."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def member_of(store: EmbeddedServer, prefix: str) -> AsyncIterator[Member]:
    member = Member(fast_settings(prefix), store.address.url)
    await member.open()
    try:
        yield member
    finally:
        await member.close()


@pytest.fixture
async def member(store: EmbeddedServer, prefix: str) -> AsyncIterator[Member]:
    async with member_of(store, prefix) as member:
        yield member


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tickets(member: Member, clock: Clock) -> Tickets:
    return Tickets(TicketStore(member.store, member.keys), clock)


async def test_a_ticket_is_taken_once_by_another_node(
    tickets: Tickets, store: EmbeddedServer, prefix: str, clock: Clock
) -> None:
    ticket = await tickets.issue(Identity(ALICE))
    assert ticket.text.startswith("st_")
    assert len(ticket.text) == 46
    assert ticket.text not in repr(ticket)
    assert ticket.expires_at == clock.now + 30
    async with member_of(store, prefix) as other:
        elsewhere = Tickets(TicketStore(other.store, Keys(prefix)), clock)
        assert await elsewhere.take(ticket.text) == Identity(ALICE)
    with pytest.raises(Unauthenticated, match="was used already"):
        await tickets.take(ticket.text)


async def test_of_many_who_come_with_one_ticket_one_is_let_in(tickets: Tickets) -> None:
    ticket = await tickets.issue(Identity(ALICE))
    tries = [tickets.take(ticket.text) for _ in range(50)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert len([each for each in results if isinstance(each, Identity)]) == 1


@pytest.mark.parametrize(
    "identity",
    [
        Identity(ALICE),
        Identity(UserId("委員"), "phone", frozenset(), Recipients([]), 1_800_000_100.25),
        Identity(ALICE, None, frozenset({Right.SEND}), Recipients(["team-*", "bob"])),
    ],
)
async def test_who_comes_with_it_may_what_its_holder_may(
    tickets: Tickets, identity: Identity
) -> None:
    found = await tickets.take((await tickets.issue(identity)).text)
    assert (found.user, found.device, found.rights) == (
        identity.user,
        identity.device,
        identity.rights,
    )
    assert found.to.patterns == identity.to.patterns
    assert found.expires_at == identity.expires_at
    assert (found.rights is ALL_RIGHTS) is (identity.rights is ALL_RIGHTS)
    assert (found.to is EVERYBODY) is (identity.to is EVERYBODY)


async def test_it_ends_by_itself_and_with_its_holder(
    tickets: Tickets, member: Member, clock: Clock
) -> None:
    short = await tickets.issue(Identity(ALICE), ttl_s=0.001)
    async with asyncio.timeout(10):
        while await member.store.command("EXISTS", member.keys.ticket(_hash(short.text))):
            await asyncio.sleep(0.005)
    with pytest.raises(Unauthenticated):
        await tickets.take(short.text)
    bound = await tickets.issue(Identity(ALICE, expires_at=clock.now + 5))
    assert bound.expires_at == clock.now + 5
    clock.now += 6
    with pytest.raises(Unauthenticated):
        await tickets.take(bound.text)
    with pytest.raises(Unauthenticated, match="expired"):
        await tickets.issue(Identity(ALICE, expires_at=clock.now))


async def test_the_store_knows_a_ticket_by_its_hash_only(tickets: Tickets, member: Member) -> None:
    ticket = await tickets.issue(Identity(ALICE))
    key = member.keys.ticket(_hash(ticket.text))
    assert 0 < await member.store.command("PTTL", key) <= 30_000
    assert ticket.text.encode() not in await member.store.command("GET", key)
    assert ticket.text not in key


@pytest.mark.parametrize(
    "lies",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(
            {"user": "a b", "device": None, "can": [], "to": [], "expires_at": 9}
        ),
        msgspec.msgpack.encode(
            {"user": "a", "device": "/", "can": [], "to": [], "expires_at": None}
        ),
        msgspec.msgpack.encode({"user": "a", "device": None, "can": ["fly"], "to": []}),
        msgspec.msgpack.encode({"user": 1}),
        b"\x81\xa4user\xa1\x80",
        b"\x81\xa1x" + b"\x91" * 100_000 + b"\x01",
    ],
)
async def test_what_a_stranger_put_into_the_store_lets_nobody_in(
    tickets: Tickets, member: Member, lies: bytes
) -> None:
    await member.store.command("SET", member.keys.ticket(_hash("st_x")), lies)
    with pytest.raises(Unauthenticated):
        await tickets.take("st_x")


async def test_a_handshake_may_bring_it_in_any_place(tickets: Tickets) -> None:
    for query, *headers in (
        ("?token={}",),
        ("", ("Authorization", "Bearer {}")),
        ("", ("Sec-WebSocket-Protocol", "switchboard.v1.json, switchboard.bearer.{}")),
    ):
        text = (await tickets.issue(Identity(ALICE))).text
        filled = [(name, value.format(text)) for name, value in headers]
        found = await tickets.holder_of(handshake(query.format(text), *filled))
        assert found == Identity(ALICE)


async def test_what_is_no_ticket_is_not_taken_for_one(tickets: Tickets) -> None:
    assert await tickets.holder_of(handshake("?user=alice")) is None
    assert await tickets.holder_of(handshake("?token=eyJhbGciOiJub25lIn0.e30.")) is None
    assert not is_ticket("sb_backend_x")
    with pytest.raises(Unauthenticated):
        await tickets.holder_of(handshake("?token=st_never"))
    with pytest.raises(Unauthenticated):
        await tickets.holder_of(handshake("?token=st_a&token=st_b"))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
