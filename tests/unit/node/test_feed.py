"""What the operator's page is told, once a second while somebody looks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from node import feed as feed_module
from node.feed import Feed, Viewer
from node.sockets import Socket
from router.errors import Unauthenticated, Unavailable
from router.model import Endpoint
from router.service import Services
from tests.support.sessions import RecordingSocket
from tests.support.waiting import eventually, rounds


class Cluster:
    """Stands in for the store, and counts how often it is asked."""

    def __init__(self) -> None:
        self.looks = 0
        self.away = False

    async def look(self) -> list[Endpoint]:
        self.looks += 1
        if self.away:
            raise Unavailable("127.0.0.1:6379", "Connection refused")
        return []


class Page:
    """A viewer whose socket remembers."""

    def __init__(self, max_waiting_bytes: int = 10_000) -> None:
        self.socket = RecordingSocket()
        self.viewer = Viewer(cast(Socket, self.socket), max_waiting_bytes, self.may_look)
        self.key_counts = True
        self.told: list[dict[str, Any]] = []

    def may_look(self) -> None:
        if not self.key_counts:
            raise Unauthenticated("no such key")

    def hears(self) -> list[dict[str, Any]]:
        self.told += self.socket.said()
        return self.told


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def feed(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> AsyncIterator[Feed]:
    monkeypatch.setattr(feed_module, "_EVERY_S", 0.01)
    found = Feed(cluster.look, Services(), check_s=60.0)
    found.start()
    yield found
    await found.stop()


async def test_nobody_looks_so_nothing_is_asked(feed: Feed, cluster: Cluster) -> None:
    await rounds(20)
    assert cluster.looks == 0


async def test_every_page_gets_every_frame_and_the_store_is_asked_once(
    feed: Feed, cluster: Cluster
) -> None:
    pages = [Page(), Page(), Page()]
    for page in pages:
        feed.join(page.viewer)
    await eventually(lambda: all(len(page.hears()) >= 3 for page in pages))
    assert len(feed) == 3
    assert {frame["type"] for page in pages for frame in page.told} == {"cluster"}
    assert cluster.looks <= min(len(page.hears()) for page in pages) + 1


async def test_when_the_last_page_has_left_nothing_is_asked_any_more(
    feed: Feed, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = asyncio.Event()
    until_nobody_looks = feed._feed

    async def watched() -> None:
        await until_nobody_looks()
        ended.set()

    monkeypatch.setattr(feed, "_feed", watched)
    page = Page()
    feed.join(page.viewer)
    await eventually(page.hears)
    feed.leave(page.viewer)
    await eventually(ended.is_set)
    looks = cluster.looks
    await rounds(20)
    assert cluster.looks == looks
    feed.join(Page().viewer)
    await eventually(lambda: cluster.looks > looks)


async def test_a_store_that_is_away_is_told_and_nothing_ends(feed: Feed, cluster: Cluster) -> None:
    page = Page()
    cluster.away = True
    feed.join(page.viewer)
    first = (await eventually(page.hears))[0]
    assert (first["type"], first["code"]) == ("error", "unavailable")
    cluster.away = False
    await eventually(lambda: page.hears()[-1]["type"] == "cluster")


async def test_a_page_that_does_not_read_is_closed_and_the_others_go_on(feed: Feed) -> None:
    slow, quick = Page(max_waiting_bytes=1_000), Page(max_waiting_bytes=1_000)
    slow.socket.waiting_bytes = 900
    feed.join(slow.viewer)
    feed.join(quick.viewer)
    await eventually(lambda: slow.socket.closed_with)
    assert slow.socket.closed_with == (4408, "slow consumer")
    seen = len(quick.hears())
    await eventually(lambda: len(quick.hears()) > seen + 2)
    assert slow.socket.said() == []


async def test_a_page_that_answers_no_ping_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    monkeypatch.setattr(feed_module, "_EVERY_S", 0.01)
    feed = Feed(cluster.look, Services(), check_s=0.05)
    feed.start()
    gone, here = Page(), Page()
    feed.join(gone.viewer)
    feed.join(here.viewer)

    def cut_off() -> bool:
        here.viewer.heard = True
        return gone.socket.aborted

    await eventually(cut_off)
    assert not here.socket.aborted
    await feed.stop()


async def test_a_page_whose_key_was_taken_away_is_closed(
    monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    monkeypatch.setattr(feed_module, "_EVERY_S", 0.01)
    feed = Feed(cluster.look, Services(), check_s=0.05)
    feed.start()
    page = Page()
    feed.join(page.viewer)
    await eventually(page.hears)
    page.key_counts = False

    def closed() -> bool:
        page.viewer.heard = True
        return page.socket.closed_with is not None

    await eventually(closed)
    assert page.socket.closed_with == (4401, "the key does not count any more")
    await feed.stop()


async def test_when_the_node_stops_every_page_is_told(feed: Feed) -> None:
    page = Page()
    feed.join(page.viewer)
    await feed.stop()
    assert page.socket.closed_with == (1001, "node stopping")
