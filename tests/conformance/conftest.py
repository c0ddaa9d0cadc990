"""Each scenario is played with each SDK."""

from collections.abc import AsyncIterator

import pytest

from tests.conformance.drivers import NAMES, Driver, running
from tests.conformance.scripted import ScriptedServer


@pytest.fixture(params=NAMES)
async def driver(request: pytest.FixtureRequest) -> AsyncIterator[Driver]:
    """An SDK in a process of its own; at the end it must exit as it should."""
    async with running(request.param) as driver:
        yield driver


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A node that says what the scenario wants."""
    async with ScriptedServer() as server:
        yield server
