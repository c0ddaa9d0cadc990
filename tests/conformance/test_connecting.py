"""Every SDK: connecting, the states on the way, and leaving."""

from tests.conformance.drivers import Driver
from tests.conformance.scripted import ScriptedServer


async def test_it_is_open_when_it_was_welcomed(driver: Driver, server: ScriptedServer) -> None:
    await driver.connect(server.url)
    peer = await server.accept()
    assert (peer.query["user"], peer.query["device"], peer.query["ack"]) == (
        "alice",
        "web",
        "manual",
    )
    assert "since" not in peer.query
    await driver.state("connecting")
    assert not [event for event in driver.heard("state") if event["state"] == "open"]
    await peer.welcome(session="s7", node="n3", resumed=False, offset="5-0")
    opened = await driver.state("open")
    assert (opened["session"], opened["node"]) == ("s7", "n3")
    assert (opened["resumed"], opened["offset"]) == (False, "5-0")
    assert driver.heard("gap") == []


async def test_closing_says_goodbye_and_ends_in_closed(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed()
    await driver.state("open")
    await driver.do("close")
    await driver.state("closed")
    assert await peer.gone() == 1000


async def test_it_can_be_closed_while_it_connects(driver: Driver, server: ScriptedServer) -> None:
    await driver.connect(server.url)
    peer = await server.accept()  # and is never welcomed
    await driver.do("close")
    await driver.state("closed")
    await peer.gone()
    assert not [event for event in driver.heard("state") if event["state"] == "open"]


async def test_it_can_be_closed_while_it_waits(driver: Driver, server: ScriptedServer) -> None:
    await driver.connect(server.url, retry_base_s=60, retry_cap_s=60)
    (await server.accept()).cut()
    await driver.state("waiting")
    await driver.do("close")
    await driver.state("closed")
    assert server.count == 1


async def test_the_token_function_is_asked_for_each_connection(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url, tokens=["first", "second"])
    peer = await server.welcomed()
    assert peer.token == "first"
    assert "first" not in peer.path, "an address is written down on its way"
    peer.cut()
    assert (await server.welcomed()).token == "second"
    await driver.state("open")
