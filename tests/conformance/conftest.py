"""Each scenario is played with each SDK."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conformance.drivers import NAMES, Driver, running
from tests.conformance.scripted import ScriptedServer


@pytest.fixture(scope="session", params=NAMES)
def started(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """An SDK in a process of its own; at the end it must exit as it should."""
    with running(request.param) as driver:
        yield driver


@pytest.fixture
async def driver(started: Driver) -> AsyncIterator[Driver]:
    """An SDK without a client."""
    await started.begin()
    yield started
    await started.end()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A node that says what the scenario wants."""
    async with ScriptedServer() as server:
        yield server
