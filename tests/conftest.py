"""What every test may ask for, and the rules of a run. Fixtures live in tests/support."""

import asyncio
import signal
from collections.abc import Callable, Generator, Mapping

import pytest
import uvloop

from tests.support.logs import logs
from tests.support.rabbit import rabbit
from tests.support.store import prefix, store

__all__ = ["logs", "prefix", "rabbit", "store"]

# A shell has what it starts in the background ignore Ctrl-C, and nohup the end of the terminal; so
# would all that tests start.
for _sign, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_sign) is signal.SIG_IGN:
        signal.signal(_sign, _usual)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run on uvloop, as the product does."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run what takes minutes")
    parser.addoption("--store-tls", action="store_true", help="reach the shared store over TLS")
    parser.addoption("--store-cluster", action="store_true", help="share a Redis Cluster")
    parser.addoption("--store-sentinel", action="store_true", help="share a store with Sentinels")
    parser.addoption("--no-skips", action="store_true", help="a skipped test is a failed test")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = set()
    if not config.getoption("--long"):
        left_out.add("long")
    if config.getoption("--store-cluster") or config.getoption("--store-sentinel"):
        left_out.add("one_server")
        left_out.add("own_store")
    away = [item for item in items if left_out & {*_marks(item), *_fixtures(item)}]
    config.hook.pytest_deselected(items=away)
    items[:] = [item for item in items if item not in set(away)]


def _marks(item: pytest.Item) -> set[str]:
    return {mark.name for mark in item.iter_markers()}


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and --no-skips was given: {report.longrepr}"
    return report
