"""What cannot be used is kept, up to a limit, and said once a minute."""

import pytest
from redis import Redis

from router import deadletters
from router.deadletters import MAX_DEAD_LETTER_BYTES, MAX_DEAD_LETTERS, DeadLetters
from router.errors import DecodeError
from router.keys import Keys
from router.store.store import Store
from tests.unit.router.conftest import StrictLogs

EVENT = "inbox entry cannot be used; kept as a dead letter"
BROKEN = DecodeError("not an envelope")


@pytest.fixture
def dead(plain_store: Store, keys: Keys, logs: StrictLogs) -> DeadLetters:
    logs.expect(EVENT)
    return DeadLetters(plain_store, keys)


async def kept(store: Store, keys: Keys) -> list[bytes]:
    """Return the dead letters; asked on the same connection, so all that was sent is there."""
    found: list[bytes] = await store.command("LRANGE", keys.dead, 0, -1)
    return found


async def test_entries_are_kept_as_they_lay_there_in_order(
    dead: DeadLetters, plain_store: Store, keys: Keys
) -> None:
    for entry in (b"\xff\x00", b"", b"second"):
        dead.bury(entry, BROKEN)
    assert await kept(plain_store, keys) == [b"\xff\x00", b"", b"second"]
    assert dead.counts.dead == 3


async def test_the_oldest_give_way_to_the_newest(
    dead: DeadLetters, plain_store: Store, keys: Keys
) -> None:
    for number in range(MAX_DEAD_LETTERS + 5):
        dead.bury(str(number).encode(), BROKEN)
    letters = await kept(plain_store, keys)
    assert (letters[0], letters[-1]) == (b"5", str(MAX_DEAD_LETTERS + 4).encode())
    assert len(letters) == MAX_DEAD_LETTERS
    assert dead.counts.dead == MAX_DEAD_LETTERS + 5


@pytest.mark.parametrize("over", [-1, 0, 1, 1_000_000])
async def test_a_long_one_is_cut_off(
    dead: DeadLetters, plain_store: Store, keys: Keys, over: int
) -> None:
    dead.bury(b"x" * (MAX_DEAD_LETTER_BYTES + over), BROKEN)
    (letter,) = await kept(plain_store, keys)
    assert len(letter) == min(MAX_DEAD_LETTER_BYTES + over, MAX_DEAD_LETTER_BYTES)


async def test_the_list_is_one_for_all_and_does_not_end_by_itself(
    dead: DeadLetters, plain_store: Store, redis: Redis, keys: Keys
) -> None:
    dead.bury(b"a", BROKEN)
    DeadLetters(plain_store, keys).bury(b"b", BROKEN)
    assert await kept(plain_store, keys) == [b"a", b"b"]
    assert redis.pttl(keys.dead) == -1


async def test_many_are_one_line_in_the_log(
    dead: DeadLetters, keys: Keys, logs: StrictLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        dead.bury(b"secret", BROKEN)
    (line,) = logs.events(EVENT)
    assert (line["log_level"], line["key"], line["total"]) == ("warning", keys.dead, 1)
    assert (line["error"], line["exc_info"]) == ("not an envelope", None)
    assert "secret" not in str(line)
    monkeypatch.setattr(deadletters, "_LOG_EVERY_S", 0.0)  # as if the minute were over
    dead.bury(b"secret", BROKEN)
    assert [line["total"] for line in logs.events(EVENT)] == [1, 4]


async def test_a_fault_of_ours_is_logged_with_its_traceback(
    dead: DeadLetters, logs: StrictLogs
) -> None:
    fault = ZeroDivisionError("ours")
    dead.bury(b"x", fault)
    (line,) = logs.events(EVENT)
    assert line["exc_info"] is fault


async def test_without_a_store_it_is_counted_and_nothing_stops(
    plain_store: Store, keys: Keys, redis: Redis, logs: StrictLogs
) -> None:
    logs.expect(EVENT)
    dead = DeadLetters(plain_store, keys)
    await plain_store.close()
    dead.bury(b"x", BROKEN)
    assert dead.counts.dead == 1
    assert redis.exists(keys.dead) == 0


async def test_a_store_that_refuses_is_no_obstacle_either(
    dead: DeadLetters, plain_store: Store, redis: Redis, keys: Keys
) -> None:
    redis.set(keys.dead, b"not a list")
    dead.bury(b"x", BROKEN)
    assert await plain_store.command("GET", keys.dead) == b"not a list"
    assert dead.counts.dead == 1
