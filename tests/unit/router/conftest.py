"""What the tests of the router ask for. Each test has a key prefix of its own."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog
from redis import Redis
from structlog.typing import EventDict

from router.keys import Keys
from router.settings import RedisSettings
from router.store import connect as connect_module
from router.store import flight as flight_module
from router.store import link as link_module
from router.store.connect import Connector
from router.store.embedded import EmbeddedServer
from router.store.modes import make_store
from router.store.store import Store
from tests.support.logs import Logs, is_of_uvloop
from tests.support.proxy import Proxy
from tests.support.valkey import ValkeyServer, plain_client, running, wheel_program

# The same examples in every run: a failure is there to stay until it is mended.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")


class StrictLogs(Logs):
    """A warning that the test does not expect fails it, too."""

    def expect(self, *events: str) -> None:
        """Allow these events to be logged as warnings or errors."""
        self._expected.update(events)

    def stray(self) -> list[EventDict]:
        """Return the warnings and errors that nobody expected."""
        return [
            entry
            for entry in self._entries
            if entry["log_level"] not in ("debug", "info") and entry["event"] not in self._expected
        ]


@pytest.fixture(autouse=True)
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[StrictLogs]:
    with structlog.testing.capture_logs() as entries:
        found = StrictLogs(entries)
        yield found
    assert not found.stray()
    records = [r for when in ("setup", "call") for r in caplog.get_records(when)]
    assert not [
        record.getMessage()
        for record in records
        if record.levelno >= logging.WARNING and not is_of_uvloop(record)
    ]


@pytest.fixture(autouse=True)
def quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(link_module, "_LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr(connect_module, "_EVERY_S", 0.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes in a moment is not repeated for two seconds, but for a tenth of one."""
    monkeypatch.setattr(flight_module, "REPEAT_FOR_S", 0.1)
    monkeypatch.setattr(flight_module, "_PAUSE_S", 0.01)


@pytest.fixture
def keys(prefix: str) -> Keys:
    return Keys(prefix)


@pytest.fixture
def redis(store: EmbeddedServer) -> Iterator[Redis]:
    """A client of another make, for arranging and looking."""
    with plain_client(store.address.url) as client:
        yield client


@pytest.fixture
def connector(store: EmbeddedServer) -> Connector:
    return Connector(store.address.url, RedisSettings())


@pytest.fixture
async def proxy(store: EmbeddedServer) -> AsyncIterator[Proxy]:
    async with Proxy(store.address.socket, store.address.login) as between:
        yield between


@pytest.fixture
def hasty() -> RedisSettings:
    """Time limits for tests that wait until one runs out."""
    return RedisSettings(connect_timeout_s=3.0, reply_timeout_s=1.0)


@pytest.fixture
def shaky(proxy: Proxy, hasty: RedisSettings) -> Connector:
    """Connects through the proxy."""
    return Connector(proxy.url, hasty)


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A server for this test alone, to be stopped, emptied or killed."""
    folder: Path = tmp_path_factory.mktemp("s")
    with running(wheel_program(), folder) as server:
        yield server


@pytest.fixture
async def plain_store(connector: Connector) -> AsyncIterator[Store]:
    """A connection that nobody harms."""
    found = make_store(connector, "test")
    await found.open()
    yield found
    await found.close()


@pytest.fixture
async def shaky_store(shaky: Connector, logs: StrictLogs) -> AsyncIterator[Store]:
    """A connection through the proxy."""
    logs.expect("store connection lost")
    found = make_store(shaky, "test")
    await found.open()
    yield found
    await found.close()
