"""The store of a test run: one real server for all tests; each takes a key prefix of its own."""

import secrets
from collections.abc import Iterator

import pytest

from router.store.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A running private server; `store.address.url` is where."""
    with EmbeddedServer(tmp_path_factory.mktemp("store"), append_fsync="no") as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """A key prefix that no other test has."""
    return f"t{secrets.token_hex(6)}"
