"""Clusters of real nodes, for tests that look at several of them at once."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from router.store import connect, link
from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster
from tests.support.logs import Logs


@pytest.fixture(autouse=True)
def no_errors(logs: Logs) -> None:
    """Fail a test in which an error is logged."""


@pytest.fixture(autouse=True)
def quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back to a store sooner than one must with thousands of clients."""
    monkeypatch.setattr(link, "_FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(link, "_LONGEST_PAUSE_S", 0.2)
    monkeypatch.setattr(connect, "_EVERY_S", 0.0)


@pytest.fixture
async def cluster(store: EmbeddedServer) -> AsyncIterator[Cluster]:
    """Three nodes on one store."""
    async with Cluster(store.address.url, nodes=3) as found:
        yield found


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A store of the test's own, to be stopped and started again."""
    with EmbeddedServer(tmp_path / "store", append_fsync="no") as server:
        yield server
