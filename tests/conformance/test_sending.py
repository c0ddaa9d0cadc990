"""Every SDK: sends and their outcomes, also over a connection that breaks."""

import pytest

from router.model import Outcome
from tests.conformance.drivers import Driver, Failed
from tests.conformance.scripted import ScriptedServer


@pytest.mark.parametrize("outcome", list(Outcome))
async def test_the_outcome_is_what_the_node_says(
    driver: Driver, server: ScriptedServer, outcome: str
) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed()
    answer = driver.start("send", to="bob", data={"a": [1, "ä"]}, confirm="written", ttl_s=60)
    sent = await peer.hear("send")
    assert (sent["to"], sent["data"], sent["confirm"]) == ("bob", {"a": [1, "ä"]}, "written")
    assert 0 < sent["ttl_s"] <= 60
    assert not sent.get("durable")
    assert "key" not in sent
    await peer.answer(sent, outcome, reason="why not")
    result = await answer
    assert result == {
        "id": f"id-{sent['ref']}",
        "user": "bob",
        "outcome": outcome,
        "reason": "why not",
    }


async def test_answers_find_their_sends_in_any_order(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed()
    answers = [driver.start("send", to=user, data=user) for user in ("bob", "eve", "dan")]
    sent = [await peer.hear("send") for _ in answers]
    for frame, outcome in zip(reversed(sent), ("offline", "written", "acked"), strict=True):
        await peer.answer(frame, outcome)
    assert [(await answer)["outcome"] for answer in answers] == ["acked", "written", "offline"]


async def test_an_error_of_the_node_has_its_code(driver: Driver, server: ScriptedServer) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed()
    answer = driver.start("send", to="bob", data=1)
    ref = (await peer.hear("send"))["ref"]
    await peer.say("error", ref=ref, code="unavailable", message="the store is away")
    with pytest.raises(Failed) as failed:
        await answer
    assert (failed.value.code, failed.value.message) == ("unavailable", "the store is away")


async def test_an_answer_that_does_not_come_is_unknown(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url)
    peer = await server.welcomed()
    result = await driver.send("bob", 1, timeout_s=0.1)
    assert result["outcome"] == "unknown"
    assert result["reason"]
    late = await peer.hear("send")
    await peer.answer(late, "delivered")  # nobody waits for it any more
    answer = driver.start("send", to="bob", data=2)
    await peer.answer(await peer.hear("send"), "written")
    assert (await answer)["outcome"] == "written"


async def test_what_is_too_large_for_the_node_is_not_sent(
    driver: Driver, server: ScriptedServer
) -> None:
    await driver.connect(server.url)
    await server.welcomed(max_message_bytes=1_000)
    await driver.state("open")
    with pytest.raises(Failed) as failed:
        await driver.send("bob", "x" * 2_000)
    assert failed.value.code == "too_large"


class TestAway:
    async def test_sends_wait_for_a_connection_and_keep_their_order(
        self, driver: Driver, server: ScriptedServer
    ) -> None:
        await driver.connect(server.url)
        peer = await server.accept()  # not welcomed yet
        answers = [driver.start("send", to="bob", data=number) for number in range(5)]
        await driver.state("connecting")
        await peer.welcome()
        for number in range(5):
            sent = await peer.hear("send")
            assert sent["data"] == number
            await peer.answer(sent, "written")
        assert [(await answer)["outcome"] for answer in answers] == ["written"] * 5

    async def test_only_so_many_may_wait(self, driver: Driver, server: ScriptedServer) -> None:
        await driver.connect(server.url, max_sends=2)
        peer = await server.accept()
        answers = [driver.start("send", to="bob", data=number) for number in range(2)]
        with pytest.raises(Failed) as failed:
            await driver.send("bob", 2)
        assert failed.value.code == "queue_full"
        await peer.welcome()
        for answer in answers:
            await peer.answer(await peer.hear("send"), "written")
            assert (await answer)["outcome"] == "written"

    async def test_one_whose_time_runs_out_was_never_sent(
        self, driver: Driver, server: ScriptedServer
    ) -> None:
        await driver.connect(server.url)
        peer = await server.accept()
        with pytest.raises(Failed) as failed:
            await driver.send("bob", "late", timeout_s=0.1)
        assert failed.value.code == "not_connected"
        answer = driver.start("send", to="bob", data="in time")
        await peer.welcome()
        sent = await peer.hear("send")
        assert sent["data"] == "in time"
        await peer.answer(sent, "written")
        await answer

    async def test_one_whose_ttl_has_passed_is_expired(
        self, driver: Driver, server: ScriptedServer
    ) -> None:
        await driver.connect(server.url)
        peer = await server.accept()
        early = driver.start("send", to="bob", data="early", ttl_s=0.001)
        with pytest.raises(Failed):  # by now the time of the first has passed
            await driver.send("bob", "late", timeout_s=0.1)
        await peer.welcome()
        assert (await early)["outcome"] == "expired"

    async def test_closing_fails_them(self, driver: Driver, server: ScriptedServer) -> None:
        await driver.connect(server.url)
        await server.accept()
        answer = driver.start("send", to="bob", data=1)
        await driver.do("close")
        with pytest.raises(Failed) as failed:
            await answer
        assert failed.value.code == "closed"
        with pytest.raises(Failed) as failed:
            await driver.send("bob", 2)
        assert failed.value.code == "closed"


class TestBroken:
    async def test_a_durable_send_is_repeated_with_its_key(
        self, driver: Driver, server: ScriptedServer
    ) -> None:
        await driver.connect(server.url)
        peer = await server.welcomed()
        answer = driver.start("send", to="bob", data="once", durable=True)
        first = await peer.hear("send")
        assert first["durable"] is True
        assert first["key"]
        peer.cut()
        peer = await server.welcomed()
        again = await peer.hear("send")
        assert (again["data"], again["key"]) == ("once", first["key"])
        await peer.answer(again, "duplicate", id="the-first")
        result = await answer
        assert (result["outcome"], result["id"]) == ("duplicate", "the-first")

    async def test_each_durable_send_has_a_key_of_its_own(
        self, driver: Driver, server: ScriptedServer
    ) -> None:
        await driver.connect(server.url)
        peer = await server.welcomed()
        keys = set()
        for number in range(3):
            answer = driver.start("send", to="bob", data=number, durable=True)
            sent = await peer.hear("send")
            keys.add(sent["key"])
            await peer.answer(sent, "queued")
            await answer
        assert len(keys) == 3

    async def test_one_with_a_key_of_the_application_is_repeated_too(
        self, driver: Driver, server: ScriptedServer
    ) -> None:
        await driver.connect(server.url)
        peer = await server.welcomed()
        answer = driver.start("send", to="bob", data=1, key="order-42")
        assert (await peer.hear("send"))["key"] == "order-42"
        peer.cut()
        peer = await server.welcomed()
        again = await peer.hear("send")
        assert again["key"] == "order-42"
        await peer.answer(again, "queued")
        assert (await answer)["outcome"] == "queued"

    async def test_any_other_is_unknown_and_never_repeated(
        self, driver: Driver, server: ScriptedServer
    ) -> None:
        await driver.connect(server.url)
        peer = await server.welcomed()
        answer = driver.start("send", to="bob", data="once")
        await peer.hear("send")
        peer.cut()
        result = await answer
        assert result["outcome"] == "unknown"
        assert result["reason"]
        peer = await server.welcomed()
        answer = driver.start("send", to="bob", data="another")
        sent = await peer.hear("send")
        assert sent["data"] == "another"
        await peer.answer(sent, "written")
        await answer

    async def test_repeats_come_first_and_in_order(
        self, driver: Driver, server: ScriptedServer
    ) -> None:
        await driver.connect(server.url)
        peer = await server.welcomed()
        answers = [driver.start("send", to="bob", data=n, durable=True) for n in range(3)]
        for _ in answers:
            await peer.hear("send")
        peer.cut()
        peer = await server.accept()
        answers.append(driver.start("send", to="bob", data=3, durable=True))
        await peer.welcome()
        for number, answer in enumerate(answers):
            sent = await peer.hear("send")
            assert sent["data"] == number
            await peer.answer(sent, "queued")
            assert (await answer)["outcome"] == "queued"

    async def test_an_error_of_the_repeat_says_nothing_of_the_first(
        self, driver: Driver, server: ScriptedServer
    ) -> None:
        await driver.connect(server.url)
        peer = await server.welcomed()
        answer = driver.start("send", to="bob", data=1, durable=True)
        await peer.hear("send")
        peer.cut()
        peer = await server.welcomed()
        ref = (await peer.hear("send"))["ref"]
        await peer.say("error", ref=ref, code="unavailable", message="the store is away")
        assert (await answer)["outcome"] == "unknown"

    async def test_closing_leaves_what_was_sent_unknown(
        self, driver: Driver, server: ScriptedServer
    ) -> None:
        await driver.connect(server.url)
        peer = await server.welcomed()
        answer = driver.start("send", to="bob", data=1, durable=True)
        await peer.hear("send")
        await driver.do("close")
        assert (await answer)["outcome"] == "unknown"
