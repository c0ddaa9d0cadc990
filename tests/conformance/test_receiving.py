"""Every SDK: messages, repeats, acknowledgements, resuming."""

import asyncio
import contextlib

from websockets.exceptions import ConnectionClosed

from tests.conformance.drivers import Driver
from tests.conformance.scripted import Peer, ScriptedServer


async def last_ack(peer: Peer, offset: str) -> int:
    """Hear acknowledgements until this offset is; return how many there were."""
    count = 1
    while (await peer.hear("ack"))["offset"] != offset:
        count += 1
    return count


async def test_a_message_is_told_with_all_it_brings(driver: Driver, server: ScriptedServer) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed()
    await peer.plain_message(1, data={"order": [42, "ä", None]})
    await peer.message(2, replay=True)
    first, second = await driver.next("message"), await driver.next("message")
    assert first == {
        "event": "message",
        "id": "m1",
        "from": "bob",
        "data": {"order": [42, "ä", None]},
    }
    assert (second["id"], second["offset"], second["replay"]) == ("m2", "2-0", True)


async def test_what_a_later_version_says_is_passed_over(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed(brand="new")
    await peer.say("weather", sunny=True)
    await peer.plain_message(1, brand="new")
    assert await driver.messages(1) == [1]
    assert server.count == 1


async def test_a_repeat_is_dropped(driver: Driver, server: ScriptedServer) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed()
    for number in (1, 2, 1, 2, 3):
        await peer.plain_message(number)
    assert await driver.messages(3) == [1, 2, 3]


async def test_equal_ids_of_two_senders_are_two_messages(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed()
    await peer.plain_message(1)
    await peer.plain_message(1, **{"from": "eve", "data": "hers"})
    assert await driver.messages(2) == [1, "hers"]


async def test_it_resumes_after_what_it_has_received(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed(offset="0-0")
    for number in (1, 2):
        await peer.message(number)
    assert await driver.messages(2) == [1, 2]
    peer.cut()
    peer = await server.accept()
    assert peer.query["since"] == "2-0"
    await peer.welcome(offset="2-0", resumed=True)
    for number in (2, 3):  # and what comes again is dropped
        await peer.message(number, replay=True)
    assert await driver.messages(1) == [3]
    assert driver.heard("gap") == []


async def test_it_begins_where_the_application_says(driver: Driver, server: ScriptedServer) -> None:
    await driver.connect(server.url, since="7-1")
    peer = await server.accept()
    assert peer.query["since"] == "7-1"
    await peer.welcome(resumed=True, offset="7-1")
    assert (await driver.state("open"))["resumed"] is True
    await peer.message(7, offset="7-1")
    await peer.message(8, offset="7-10")
    assert await driver.messages(1) == [8]


async def test_offsets_compare_as_numbers(driver: Driver, server: ScriptedServer) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed(offset="9-9")
    for number, offset in enumerate(("9-10", "10-1", "10-2", "100-0")):
        await peer.message(number, offset=offset)
    assert await driver.messages(4) == [0, 1, 2, 3]


async def test_a_hole_is_told(driver: Driver, server: ScriptedServer) -> None:
    await driver.connect(server.url, since="5-0")
    peer = await server.welcomed(resumed=False, offset="20-0")
    await driver.state("open")
    await driver.next("gap")
    await peer.message(21)
    assert await driver.messages(1) == [21]
    peer.cut()
    assert (await server.accept()).query["since"] == "21-0"


async def test_what_was_handled_is_acknowledged(driver: Driver, server: ScriptedServer) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed()
    await peer.message(1)
    assert (await peer.hear("ack"))["offset"] == "1-0"


async def test_under_load_one_acknowledgement_stands_for_many(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed()
    for number in range(1, 501):
        await peer.message(number)
    assert await last_ack(peer, "500-0") < 100
    assert await driver.messages(500) == list(range(1, 501))


async def test_the_application_may_acknowledge_itself(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.do("ack_mode", manual=True)
    await driver.connect(server.url)
    peer = await server.welcomed()
    for number in range(1, 5):
        await peer.message(number)
    await driver.messages(4)
    await driver.do("ack", id="m1")
    assert (await peer.hear("ack"))["offset"] == "1-0"
    await driver.do("ack", id="m3")  # 2 was not handled yet
    await driver.do("ack", id="m2")
    assert (await peer.hear("ack"))["offset"] == "3-0"


async def test_a_message_that_is_not_stored_is_acknowledged_by_its_id(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.do("ack_mode", manual=True)
    await driver.connect(server.url)
    peer = await server.welcomed()
    await peer.plain_message(1)
    await driver.messages(1)
    await driver.do("ack", id="m1")
    assert (await peer.hear("ack"))["id"] == "m1"


async def test_what_was_acknowledged_to_a_node_that_died_is_acknowledged_again(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed()
    await peer.message(1)
    await peer.hear("ack")
    peer.cut()
    peer = await server.welcomed(resumed=True)
    assert (await peer.hear("ack"))["offset"] == "1-0"


async def test_a_slow_application_gets_everything_in_order(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url, handler_s=0.005, max_messages=8, ping_interval_s=0.5)
    answering = asyncio.create_task(_replay(server, 200))
    assert await driver.messages(200) == list(range(1, 201))
    answering.cancel()
    assert driver.heard("gap") == []
    if driver.name == "python":  # it stops reading; a WebSocket of a browser cannot, and goes away
        assert server.count == 1


async def _replay(server: ScriptedServer, last: int) -> None:
    """Give every client the messages up to `last` that it has not handled."""
    while True:
        peer = await server.accept(within_s=60)
        since = peer.query.get("since", "0-0")
        await peer.welcome(offset=since, resumed="since" in peer.query)
        with contextlib.suppress(ConnectionClosed):
            for number in range(int(since.partition("-")[0]) + 1, last + 1):
                await peer.message(number)
