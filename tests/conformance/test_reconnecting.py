"""Every SDK: what it does when a connection ends, or is not there at all."""

import itertools

import pytest

from scripts.measuring.ports import free_port_range
from tests.conformance.drivers import Driver
from tests.conformance.scripted import ScriptedServer


def dead_url() -> str:
    """Return an address at which nobody listens."""
    return f"ws://127.0.0.1:{free_port_range(1)}/ws"


async def test_a_connection_that_is_cut_is_made_again(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url)
    for _ in range(3):
        peer = await server.welcomed()
        await driver.state("open")
        peer.cut()
        waiting = await driver.state("waiting")
        assert waiting["reason"]
    await server.welcomed()
    await driver.state("open")


async def test_addresses_are_tried_in_turn(driver: Driver, server: ScriptedServer) -> None:
    async with ScriptedServer() as other:
        await driver.connect(dead_url(), server.url, other.url)
        for each in (server, other, server):
            peer = await each.welcomed()
            await driver.state("open")
            peer.cut()


async def test_it_waits_longer_and_longer_but_never_beyond_its_bound(driver: Driver) -> None:
    await driver.connect(dead_url(), retry_base_s=0.01, retry_cap_s=0.08)
    bounds = itertools.chain((10, 20, 40), itertools.repeat(80))
    for bound, _ in zip(bounds, range(8), strict=False):
        assert 0 <= (await driver.state("waiting"))["after_ms"] <= bound
    await driver.do("close")


async def test_it_comes_back_when_the_node_asks_it_to(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url, retry_base_s=60, retry_cap_s=60)
    peer = await server.welcomed()
    await peer.say("goodbye", reason="drain", reconnect_after_ms=123)
    await peer.close(1012, "drain")
    waiting = await driver.state("waiting")
    assert waiting["after_ms"] == 123
    assert "drain" in waiting["reason"]
    await server.welcomed()
    await driver.state("open")


@pytest.mark.parametrize("code", [1000, 1001, 1009, 1012, 1013, 4408, 4429])
async def test_codes_after_which_it_comes_back(
    driver: Driver, server: ScriptedServer, code: int
) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed()
    await driver.state("open")
    await peer.close(code, "for a reason")
    await driver.state("waiting")
    await server.welcomed()
    await driver.state("open")


@pytest.mark.parametrize("code", [1008, 4401, 4403, 4409, 4410])
async def test_codes_after_which_it_stays_away(
    driver: Driver, server: ScriptedServer, code: int
) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed()
    await driver.state("open")
    await peer.say("goodbye", reason="for a reason")
    await peer.close(code, "for a reason")
    closed = await driver.state("closed")
    assert (closed["code"], closed["reason"]) == (code, "for a reason")
    assert server.count == 1
    assert not [event for event in driver.heard("state") if event["state"] == "waiting"]


async def test_a_session_whose_token_has_expired_comes_back_with_a_fresh_one(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url, tokens=["first", "second"])
    peer = await server.welcomed()
    await peer.close(4401, "token expired")
    peer = await server.accept()
    assert peer.token == "second"
    await peer.close(4401, "not authenticated")  # a token that never worked is another matter
    assert (await driver.state("closed"))["code"] == 4401


async def test_a_session_whose_token_ends_soon_is_renewed_in_place(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url, tokens=["first", "second", "third"])
    peer = await server.welcomed()
    for token in ("second", "third"):
        await peer.say("expiring", expires_at=1_800_000_000.5)
        assert (await peer.hear("refresh"))["token"] == token
        await peer.say("refreshed", expires_at=1_800_000_060.5)
    sent = driver.start("send", to="bob", data=1)
    await peer.answer(await peer.hear("send"), "delivered")
    assert (await sent)["outcome"] == "delivered"
    assert server.count == 1
    assert not [event for event in driver.heard("state") if event["state"] == "waiting"]


async def test_a_new_token_that_is_refused_changes_nothing_until_the_end(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url, tokens=["first", "second", "third"])
    peer = await server.welcomed()
    await peer.say("expiring", expires_at=1_800_000_000.5)
    await peer.hear("refresh")
    await peer.say("error", code="unauthenticated", message="token: it has expired")
    await peer.message(1)
    assert await driver.messages(1) == [1]
    await peer.say("goodbye", reason="the token has expired")
    await peer.close(4401, "the token has expired")
    assert (await server.welcomed()).token == "third"


async def test_a_handshake_refused_for_its_token_is_tried_again_with_the_next_one(
    driver: Driver, server: ScriptedServer
) -> None:
    server.refusals = 2
    await driver.connect(server.url, tokens=["first", "second", "third"])
    assert (await server.welcomed()).token == "third"
    await driver.state("open")
    assert server.count == 1


async def test_a_connection_on_which_nothing_is_heard_is_given_up(
    driver: Driver, server: ScriptedServer
) -> None:
    server.pongs = False
    await driver.connect(server.url, ping_interval_s=0.2)
    peer = await server.welcomed()
    await driver.state("open")
    await driver.state("waiting")
    await server.welcomed()
    assert peer.pings >= 1


async def test_a_quiet_connection_is_kept(driver: Driver, server: ScriptedServer) -> None:
    await driver.connect(server.url, ping_interval_s=1)
    peer = await server.welcomed()
    await peer.pinged(4)  # by then it would have been given up without answers
    assert server.count == 1
