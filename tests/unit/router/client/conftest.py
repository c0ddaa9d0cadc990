"""A node that says what a test wants."""

from collections.abc import AsyncIterator

import pytest

from tests.conformance.scripted import ScriptedServer


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server
