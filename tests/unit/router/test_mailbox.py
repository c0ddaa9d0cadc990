"""A user's durable messages, as the router asks for them."""

import time
from typing import Any

import pytest
from redis import Redis

from router.codec import StoredMessage
from router.errors import StoreRefused, Unavailable
from router.keys import Keys
from router.model import START, Offset, Session, SessionId, UserId
from router.settings import MailboxSettings, RegistrySettings
from router.store.mailbox import Deposit, Mailbox, Resumed, parse_deposit, parse_newest
from router.store.registry import Registry
from router.store.store import Store
from tests.support.proxy import Fault, Proxy

ALICE, BOB = UserId("alice"), UserId("bob")


def message(id: str = "m1", data: bytes = b'"x"', origin: str = "carol") -> StoredMessage:
    return StoredMessage(id, origin, 1.5, 0, data)


class Box:
    """A mailbox on a real store, and what lies in it."""

    def __init__(self, store: Store, keys: Keys, redis: "Redis", **settings: Any) -> None:
        self.store = store
        self.keys = keys
        self.redis = redis
        self.mailbox = Mailbox(store, keys, MailboxSettings(**settings))

    async def look_up(
        self,
        told: StoredMessage | None = None,
        *,
        durable: bool = True,
        key: str | None = None,
        again: bool = False,
        user: UserId = ALICE,
    ) -> Deposit:
        command = self.mailbox.pack_lookup(
            user, told or message(), durable=durable, key=key, again=again
        )
        return parse_deposit((await self.store.call(command))[:-1])

    async def put(self, id: str, **how: Any) -> Offset:
        deposit = await self.look_up(message(id), **how)
        assert deposit.offset is not None
        return deposit.offset

    async def acknowledge(self, device: str, offset: Offset) -> None:
        await self.store.call(self.mailbox.pack_ack(ALICE, device, offset))


@pytest.fixture
def box(plain_store: Store, keys: Keys, redis: Redis) -> Box:
    return Box(plain_store, keys, redis)


# ---- storing ------------------------------------------------------------------------------------


async def test_what_is_stored_can_be_read_as_it_was(box: Box) -> None:
    told = StoredMessage("m1", "carol", 1.5, 1_795_419_635_120, b'{"b": 1.50}')
    deposit = await box.look_up(told)
    assert deposit.offset is not None
    assert (deposit.before, deposit.first, deposit.full) == (START, None, "")
    assert await box.mailbox.read(ALICE, START, 10) == [(deposit.offset, told)]


async def test_a_plain_look_up_with_a_key_stores_nothing(box: Box) -> None:
    assert await box.look_up(durable=False, key="carol k") == Deposit()
    assert await box.mailbox.length(ALICE) == 0


async def test_users_have_mailboxes_of_their_own(box: Box) -> None:
    await box.put("m1")
    await box.put("m1", user=BOB)
    assert [await box.mailbox.length(user) for user in (ALICE, BOB)] == [1, 1]
    assert (await box.look_up(message("m2"), user=BOB, key="carol k")).first is None
    assert (await box.look_up(message("m3"), key="carol k")).first is None


async def test_another_message_with_the_same_key_learns_the_firsts_id(box: Box) -> None:
    await box.look_up(message("m1"), key="carol order-1")
    assert await box.look_up(message("m2"), key="carol order-1") == Deposit(
        first="m1"  # type: ignore[arg-type]
    )


async def test_a_released_key_may_be_used_again_but_only_by_its_own_message(box: Box) -> None:
    await box.look_up(message("m1"), key="carol k")
    assert await box.store.call(box.mailbox.pack_release(ALICE, "carol k", "m2")) == 0
    assert (await box.look_up(message("m2"), key="carol k")).first == "m1"
    assert await box.store.call(box.mailbox.pack_release(ALICE, "carol k", "m1")) == 1
    assert (await box.look_up(message("m2"), key="carol k")).offset is not None


async def test_a_repeat_finds_itself(box: Box) -> None:
    first = await box.look_up(message("m1"))
    await box.put("m2")
    assert await box.look_up(message("m1"), again=True) == first
    assert await box.mailbox.length(ALICE) == 2


@pytest.mark.parametrize(("one", "other"), [("a", "a/b"), ("", "b")])
async def test_a_senders_name_and_an_id_are_never_taken_for_anothers(
    box: Box, one: str, other: str
) -> None:
    await box.put("m0")
    await box.look_up(message("b/c", origin=one))
    await box.look_up(message("c", origin=other), again=True)
    assert await box.mailbox.length(ALICE) == 3


async def test_a_full_mailbox_says_how_full_it_is(
    plain_store: Store, keys: Keys, redis: Redis
) -> None:
    box = Box(plain_store, keys, redis, max_length=2)
    for number in range(2):
        await box.put(f"m{number}")
    found: Any = redis.xrange(keys.mail(ALICE))
    size = sum(len(fields[b"message"]) for _, fields in found)
    deposit = await box.look_up(message("m2"))
    assert deposit == Deposit(full=f"the mailbox holds 2 messages of {size} bytes")


async def test_a_mailbox_is_bounded_in_bytes(plain_store: Store, keys: Keys, redis: Redis) -> None:
    box = Box(plain_store, keys, redis, max_bytes=16 * 1024)
    for number in range(3):
        assert (await box.look_up(message(f"m{number}", b"x" * 5_000))).offset
    assert (await box.look_up(message("m3", b"x" * 5_000))).full
    assert (await box.look_up(message("m4", b"x" * 500))).offset


async def test_the_time_limits_are_those_of_the_settings(
    plain_store: Store, keys: Keys, redis: Redis
) -> None:
    box = Box(plain_store, keys, redis, ttl_s=60.0, key_ttl_s=30.0)
    await box.look_up(key="carol k")
    assert 30_000 < int(redis.pttl(keys.mail(ALICE))) <= 60_000
    assert 0 < int(redis.pttl(keys.key(ALICE, "carol k"))) <= 30_000


# ---- reading ------------------------------------------------------------------------------------


async def test_reading_goes_on_behind_an_offset_and_consumes_nothing(box: Box) -> None:
    offsets = [await box.put(f"m{number}") for number in range(5)]
    for _ in range(2):
        first = await box.mailbox.read(ALICE, START, 2)
        assert [offset for offset, _ in first] == offsets[:2]
        rest = await box.mailbox.read(ALICE, offsets[1], 10)
        assert [offset for offset, _ in rest] == offsets[2:]
        assert await box.mailbox.read(ALICE, offsets[-1], 10) == []


async def test_an_empty_mailbox_and_none_at_all_have_nothing_to_read(box: Box) -> None:
    assert await box.mailbox.read(ALICE, START, 10) == []
    await box.acknowledge("web", await box.put("m1"))
    assert await box.mailbox.read(ALICE, START, 10) == []


async def test_an_entry_that_is_not_ours_has_a_place_and_no_message(box: Box) -> None:
    mail = box.keys.mail(ALICE)
    first = await box.put("m1")
    for fields in ({"message": "\xc1"}, {"name": "n"}, {"message": ""}):
        box.redis.xadd(mail, fields)  # type: ignore[arg-type]
    last = await box.put("m2")
    found = await box.mailbox.read(ALICE, START, 10)
    assert [told.id if told else None for _, told in found] == ["m1", None, None, None, "m2"]
    assert (found[0][0], found[-1][0]) == (first, last)


# ---- going on -----------------------------------------------------------------------------------


async def test_devices_are_told_where_they_go_on_in_the_order_asked(box: Box) -> None:
    first, second = await box.put("m1"), await box.put("m2")
    box.redis.hset(box.keys.cursors(ALICE), "phone", f"0-0 {time.time_ns() // 1_000_000}")
    await box.acknowledge("web", first)
    asked = [(ALICE, "web", None), (BOB, "web", None), (ALICE, "tv", second), (ALICE, "new", None)]
    assert await box.mailbox.resume(asked) == [
        Resumed(first, True, second),
        Resumed(START, False, START),
        Resumed(second, True, second),
        Resumed(START, False, second),
    ]


async def test_nobody_to_ask_for_asks_nothing() -> None:
    mailbox = Mailbox(None, Keys("t"), MailboxSettings())  # type: ignore[arg-type]
    assert await mailbox.resume([]) == []


async def test_the_start_may_be_asked_for(box: Box) -> None:
    newest = await box.put("m1")
    assert await box.mailbox.resume([(ALICE, "web", START)]) == [Resumed(START, True, newest)]


async def test_registering_says_how_far_the_mailbox_goes(box: Box) -> None:
    registry = Registry(box.store, box.keys, RegistrySettings())
    session = Session(SessionId("s1"), "n1.aa", "web", "", 1.0)  # type: ignore[arg-type]
    box.redis.set(box.keys.open(session.endpoint), b"1")
    newest = await box.put("m1")
    registered = await registry.register([(ALICE, session), (BOB, session)])
    assert registered.newest == [newest, None]


def test_offsets_are_read_as_numbers() -> None:
    assert parse_newest(b"1795419635120-7") == Offset(1_795_419_635_120, 7)
    assert parse_newest(None) is None
    assert parse_deposit([b"ok", b"10-2", b"9-11"]) == Deposit(Offset(10, 2), Offset(9, 11))
    assert Offset(9, 11) < Offset(10, 2)


# ---- when the store will not --------------------------------------------------------------------


async def test_reading_while_the_store_goes_away_says_so(
    shaky_store: Store, proxy: Proxy, keys: Keys, redis: Redis
) -> None:
    box = Box(shaky_store, keys, redis)
    proxy.when(b"XRANGE", Fault.LOSE_REPLY)
    with pytest.raises(Unavailable):
        await box.mailbox.read(ALICE, START, 10)


async def test_a_key_of_another_kind_is_refused_and_not_overwritten(box: Box) -> None:
    box.redis.set(box.keys.mail(ALICE), "not a stream")
    for attempt in (
        box.mailbox.read(ALICE, START, 10),
        box.look_up(),
    ):
        with pytest.raises(StoreRefused):
            await attempt
    (resumed,) = await box.mailbox.resume([(ALICE, "web", None)])
    assert resumed == Resumed(START, False, START)
    assert box.redis.get(box.keys.mail(ALICE)) == b"not a stream"
