"""Each scenario is played with each SDK."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conformance.drivers import HERE, NAMES, Driver, running
from tests.conformance.scripted import ScriptedServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the scenarios of a module share an event loop, and so the processes of the drivers."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=NAMES)
async def started(request: pytest.FixtureRequest) -> AsyncIterator[Driver]:
    """An SDK in a process of its own; at the end it must exit as it should."""
    async with running(request.param) as driver:
        yield driver


@pytest_asyncio.fixture(loop_scope="module")
async def driver(started: Driver) -> AsyncIterator[Driver]:
    """An SDK without a client."""
    yield started
    await started.reset()


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[ScriptedServer]:
    """A node that says what the scenario wants."""
    async with ScriptedServer() as server:
        yield server
