"""Each script alone, on every server program this machine has."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.bare_store import BareStore
from tests.support.valkey import Program, ValkeyServer, plain_client, programs, running


@pytest.fixture(scope="session", params=programs(), ids=lambda program: program.name)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ValkeyServer]:
    program: Program = request.param
    with running(program.path, tmp_path_factory.mktemp(program.name)) as started:
        yield started


@pytest.fixture(scope="session")
def client(server: ValkeyServer) -> Iterator[Redis]:
    with plain_client(server.url) as connected:
        yield connected


@pytest.fixture
def store(client: "Redis") -> BareStore:
    return BareStore(client)
