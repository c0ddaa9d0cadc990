"""Rescuers that die, are slow, or meet: whatever one leaves, another one goes on with."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from router import rescue
from router.errors import Unavailable
from router.model import EndpointId, Outcome
from router.store import remains
from router.store.embedded import EmbeddedServer
from tests.support.cluster import fast_settings
from tests.support.endpoints import Endpoint
from tests.support.rescues import Held, Rescues, message, rescues
from tests.support.waiting import eventually
from tests.unit.router.conftest import StrictLogs

DEAD_LETTER = "inbox entry cannot be used; kept as a dead letter"


@pytest.fixture(autouse=True)
def rescues_are_logged(logs: StrictLogs) -> None:
    logs.expect("endpoint is dead, rescuing it")


@pytest.fixture
async def world(store: EmbeddedServer, prefix: str) -> AsyncIterator[Rescues]:
    async with rescues(store.address.url, fast_settings(prefix)) as found:
        yield found


@pytest.fixture
async def n1(world: Rescues) -> Endpoint:
    """Where alice is by now."""
    found = await world.start("n1")
    await found.attach("alice")
    return found


async def everything(world: Rescues, endpoint: Endpoint) -> list[str]:
    """Return what came for alice since the last look; what was pushed before has come."""
    result = await world.router.send("alice", "that is all")
    assert result.outcome is Outcome.DELIVERED
    *got, last = endpoint.texts()
    assert last == '"that is all"'
    endpoint.messages.clear()
    return got


async def dies_at(world: Rescues, dead: EndpointId, step: int, patch: pytest.MonkeyPatch) -> bool:
    """Let a rescuer die when the store has done its n-th step; False if it was done before."""
    member = await world.member()
    held = Held(member, patch, step)
    rescuer = await world.rescuer(member)
    rescuer.rescue_own(dead)
    await eventually(lambda: held.reached.is_set() or rescuer.counts.rescues)
    await rescuer.stop()
    return held.reached.is_set()


async def test_two_at_once_send_everything_on_once(world: Rescues, n1: Endpoint) -> None:
    dead = await world.dying("dead", "alice")
    ids = [f"m{number}" for number in range(50)]
    await world.lay(dead, *(message(each, "alice") for each in ids))
    await world.dies(dead)
    both = [await world.rescuer() for _ in range(2)]
    for rescuer in both:
        rescuer.rescue_own(dead)
    await world.gone(dead)
    await eventually(lambda: n1.texts() == ids)
    await eventually(lambda: sum(rescuer.counts.rescues for rescuer in both) == 1)


async def test_whoever_dies_at_whatever_step_is_followed_by_another(
    world: Rescues, n1: Endpoint, monkeypatch: pytest.MonkeyPatch, logs: StrictLogs
) -> None:
    logs.expect(DEAD_LETTER)
    entries = [b"\xff", message("a1", "alice"), message("b1", "bob"), message("a2", "alice")]
    for step in itertools.count(1):
        dead = await world.dying(f"d{step}", "alice", "bob")
        await world.lay(dead, *entries)
        await world.dies(dead)
        if not await dies_at(world, dead, step, monkeypatch):
            break
        await world.token_ends(dead)
        (await world.rescuer()).rescue_own(dead)
        await world.gone(dead)
        assert await world.routes("alice") == {n1.id}
        got = await everything(world, n1)
        # What the first had sent on may come twice, since it was not removed; nothing comes more.
        assert set(got) == {"a1", "a2"}, step
        assert max(Counter(got).values()) <= 2, step
    # fence, read, 3 look-ups, 2 pushes, removal, read, users, their routes, their names, token,
    # users, bury, take off the list
    assert step == 17


async def test_one_whose_token_ended_on_the_way_undoes_nothing(
    world: Rescues, n1: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (4, 5):  # the push of the first of three, the look-up of the second
        dead = await world.dying(f"d{step}", "alice")
        await world.lay(dead, *(message(f"m{number}", "alice") for number in range(3)))
        await world.dies(dead)
        member = await world.member()
        held = Held(member, monkeypatch, step)
        slow = await world.rescuer(member)
        slow.rescue_own(dead)
        await held.reached.wait()
        await world.token_ends(dead)
        (await world.rescuer()).rescue_own(dead)
        await world.gone(dead)
        held.goes_on.set()
        await removal_tried(held)
        assert Counter(await everything(world, n1)) == {"m0": 2, "m1": 2, "m2": 2}
        assert (slow.counts.rescues, await world.left_of(dead)) == (0, [])


async def test_a_batch_that_takes_longer_than_the_token_is_removed_bit_by_bit(
    world: Rescues, n1: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remains, "TOKEN_TTL_MS", 500)
    monkeypatch.setattr(rescue, "_BATCH_S", 0.05)
    dead = await world.dying("dead", "alice")
    ids = [f"m{number}" for number in range(80)]
    await world.lay(dead, *(message(each, "alice") for each in ids))
    await world.dies(dead)
    member = await world.member()
    send_on = member.forwarder.send_on

    async def slowly(*args: object, **options: object) -> object:
        await asyncio.sleep(0.01)
        return await send_on(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(member.forwarder, "send_on", slowly)
    (await world.rescuer(member)).rescue_own(dead)
    await world.gone(dead)
    await eventually(lambda: n1.texts() == ids)


async def test_users_do_not_wait_for_each_other_and_each_keeps_the_order(
    world: Rescues, n1: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [f"u{number}" for number in range(20)]
    dead = await world.dying("dead", *users)
    sent = [(user, f"{user} {turn}") for turn in range(5) for user in users]
    await world.lay(dead, *(message(text, user) for user, text in sent))
    await world.dies(dead)
    member = await world.member()
    send_on, under_way, most = member.forwarder.send_on, 0, 0

    async def watched(*args: object, **options: object) -> object:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await send_on(*args, **options)  # type: ignore[arg-type]
        finally:
            under_way -= 1

    monkeypatch.setattr(member.forwarder, "send_on", watched)
    for user in users:
        await n1.attach(user)
    (await world.rescuer(member)).rescue_own(dead)
    await world.gone(dead)
    await eventually(lambda: len(n1.texts()) == len(sent))
    assert most >= len(users) / 2
    for user in users:
        mine = [text for text in n1.texts() if text.split()[0] == user]
        assert mine == [text for whom, text in sent if whom == user]


async def removal_tried(held: Held) -> None:
    """Wait until a rescuer of three messages has tried to remove them."""
    await eventually(lambda: held.steps == 9)


async def test_a_rescue_that_the_store_interrupts_is_finished_later(
    world: Rescues, n1: Endpoint, monkeypatch: pytest.MonkeyPatch, logs: StrictLogs
) -> None:
    logs.expect("rescue interrupted")
    monkeypatch.setattr(remains, "TOKEN_TTL_MS", 300)
    dead = await world.dying("dead", "alice")
    await world.lay(dead, message("m1", "alice"))
    await world.dies(dead)
    member = await world.member()
    Held(member, monkeypatch, 4, Unavailable("there", "gone"))
    rescuer = await world.rescuer(member)
    rescuer.rescue_own(dead)
    await eventually(lambda: logs.events("rescue interrupted"))

    async def token_has_ended() -> bool:
        return "rescuer" not in await world.left_of(dead)

    await eventually(token_has_ended)
    rescuer.rescue_own(dead)
    await world.gone(dead)
    assert set(await everything(world, n1)) == {"m1"}
    assert rescuer.counts.failures["rescue"] == 0


async def test_a_fault_of_ours_is_counted_and_the_next_rescue_goes_on(
    world: Rescues, n1: Endpoint, monkeypatch: pytest.MonkeyPatch, logs: StrictLogs
) -> None:
    logs.expect("rescue failed")
    first, second = [await world.dying(name, "alice") for name in ("first", "second")]
    for endpoint in (first, second):
        await world.lay(endpoint, message("m1", "alice"))
        await world.dies(endpoint)
    member = await world.member()
    Held(member, monkeypatch, 3, ZeroDivisionError("a fault of ours"))
    rescuer = await world.rescuer(member)
    rescuer.rescue_own(first)
    await eventually(lambda: rescuer.counts.failures["rescue"] == 1)
    rescuer.rescue_own(second)
    await world.gone(second)
    assert await everything(world, n1) == ["m1"]
    await world.token_ends(first)
    rescuer.rescue_own(first)
    await world.gone(first)
