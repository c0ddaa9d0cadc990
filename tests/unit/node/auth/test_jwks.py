import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from node.auth.jwks import JwksUrl
from node.auth.keys import from_jwks
from router.counts import Counts
from tests.support.keyserver import KeyServer
from tests.support.logs import Logs
from tests.support.tokens import jwk, jwks
from tests.support.waiting import eventually

FAILED = "keys could not be fetched"


@asynccontextmanager
async def fetching(server: KeyServer, **times: Any) -> AsyncIterator[JwksUrl]:
    times = {"refresh_s": 60.0, "keep_s": 60.0, "counts": Counts(), **times}
    url = JwksUrl(server.url, lambda document: from_jwks(document, ["ES256"]), **times)
    task = asyncio.create_task(url.run())
    try:
        yield url
    finally:
        task.cancel()
        await asyncio.wait([task])


def failures(url: JwksUrl) -> int:
    return url._counts.failures["keys"]


def names(url: JwksUrl) -> list[str | None]:
    return [key.kid for key in url.ring.candidates("ES256", None)]


async def test_until_they_are_there_it_says_so() -> None:
    async with KeyServer(jwk("ES256", "a")) as server, fetching(server) as url:
        assert "could not be fetched yet" in str(url.trouble)
        await eventually(lambda: names(url) == ["a"])
        assert url.trouble is None


async def test_keys_are_fetched_again_and_again() -> None:
    async with KeyServer(jwk("ES256", "a")) as server, fetching(server, refresh_s=0.02) as url:
        await eventually(lambda: names(url) == ["a"])
        server.body = jwks(jwk("ES256", "b", 1), jwk("ES256", "a"))
        await eventually(lambda: names(url) == ["b", "a"])


async def test_keys_stay_while_the_site_is_away_and_change_when_it_is_back(logs: Logs) -> None:
    async with KeyServer(jwk("ES256", "a")) as server, fetching(server, refresh_s=0.02) as url:
        await eventually(lambda: names(url) == ["a"])
        await server.go_away()
        await eventually(lambda: failures(url) >= 3)
        assert names(url) == ["a"]
        assert logs.events(FAILED)
        server.body = jwks(jwk("ES256", "b", 1))
        await server.come_back()
        await eventually(lambda: names(url) == ["b"])


async def test_keys_that_cannot_be_fetched_for_too_long_count_no_more() -> None:
    async with (
        KeyServer(jwk("ES256", "a")) as server,
        fetching(server, refresh_s=0.02, keep_s=0.5) as url,
    ):
        await eventually(lambda: names(url) == ["a"])
        await server.go_away()
        await eventually(lambda: names(url) == [])
        assert url.trouble is not None


async def test_an_unknown_key_makes_it_look_again_but_not_all_the_time() -> None:
    async with KeyServer(jwk("ES256", "a")) as server, fetching(server, again_s=0.0) as url:
        await eventually(lambda: names(url) == ["a"])
        server.body = jwks(jwk("ES256", "b", 1))
        await asyncio.gather(*(url.look_again() for _ in range(50)))
        assert names(url) == ["b"]
        assert server.asked == 2
    async with KeyServer(jwk("ES256", "a")) as server, fetching(server, again_s=60.0) as url:
        await eventually(lambda: names(url) == ["a"])
        for _ in range(50):
            await url.look_again()
        assert server.asked == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "500 Oops"},
        {"status": "404 Not Found"},
        {"status": "302 Found", "headers": "Location: /elsewhere\r\n"},
        {"body": b"<html>"},
        {"body": b'{"keys":[]}'},
        {"body": jwks(jwk("ES256", "a", d="AA"))},
        {"body": b" " * 300_000 + jwks(jwk("ES256", "b"))},
        {"headers": f"X: {'x' * 20_000}\r\n"},
        {"headers": "Transfer-Encoding: chunked\r\n"},
    ],
    ids=["500", "404", "redirect", "html", "empty", "private", "large", "header", "smuggled"],
)
async def test_an_answer_that_is_no_set_of_keys_leaves_those_that_are_there(
    answer: dict[str, Any], logs: Logs
) -> None:
    async with KeyServer(jwk("ES256", "a")) as server, fetching(server, again_s=0.0) as url:
        await eventually(lambda: names(url) == ["a"])
        for name, value in answer.items():
            setattr(server, name, value)
        await url.look_again()
        assert (failures(url), names(url)) == (1, ["a"])
        assert logs.events(FAILED)


async def test_a_site_that_does_not_answer_is_given_up_without_an_error_in_the_log(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.auth.jwks._DEADLINE_S", 0.1)
    async with KeyServer(jwk("ES256", "a")) as server:
        server.silent = True
        async with fetching(server) as url:
            await eventually(lambda: failures(url) == 1)
            server.silent = False
            await eventually(lambda: names(url) == ["a"])
        assert logs.events(FAILED)
