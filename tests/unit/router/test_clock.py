import asyncio

from router.store.clock import StoreClock
from tests.support.waiting import eventually


async def test_it_is_unknown_until_the_store_has_told_its_time() -> None:
    clock = StoreClock()
    assert (clock.known, clock.now_ms()) == (False, 0)


async def test_it_goes_on_from_what_the_store_has_told() -> None:
    clock = StoreClock()
    before = asyncio.get_running_loop().time()
    clock.set(5_000_000)
    assert clock.known
    told = clock.now_ms()
    passed_ms = (asyncio.get_running_loop().time() - before) * 1000
    assert 5_000_000 - 1 <= told <= 5_000_000 + passed_ms + 1
    await eventually(lambda: clock.now_ms() > told)


async def test_it_may_be_set_back() -> None:
    clock = StoreClock()
    clock.set(9_000_000)
    clock.set(5_000_000)
    assert clock.now_ms() < 9_000_000
