"""A real RabbitMQ for tests, the one that `scripts/compare` measures with."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from scripts.measuring.rabbit import Rabbit
from tests.support.processes import wait_until

START_S: Final = 60.0
_TRIES: Final = 3  # somebody may take one of its ports before it does


@pytest.fixture(scope="session")
def rabbit() -> Iterator[Rabbit]:
    """A running broker for all tests of a run; each takes an exchange of its own."""
    for _ in range(_TRIES):
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sb-rabbit-"))
            broker = stack.enter_context(Rabbit(Path(folder)))
            broker.launch()
            wait_until(lambda: broker.answers() or broker.ended(), "RabbitMQ", START_S)  # noqa: B023
            if broker.answers():
                yield broker
                return
    raise AssertionError("RabbitMQ does not start")
