"""Balancers in front of nodes, each test with its own."""

import pytest

from tests.support.logs import Logs


@pytest.fixture(autouse=True)
def no_errors(logs: Logs) -> None:
    """Fail a test in which an error is logged."""
