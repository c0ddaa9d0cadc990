"""Clusters of real nodes, for tests that look at several of them at once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster


@pytest.fixture
async def cluster(store: EmbeddedServer) -> AsyncIterator[Cluster]:
    """Three nodes on one store."""
    async with Cluster(store.address.url, nodes=3) as found:
        yield found


@pytest.fixture
def own_store(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A store of the test's own, to be stopped and started again."""
    with EmbeddedServer(tmp_path / "store", append_fsync="no") as server:
        yield server
