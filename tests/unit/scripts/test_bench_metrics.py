"""What the benchmark says of the cost of metrics, and who watches meanwhile."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tornado.web

from scripts.benchmark import scraping
from scripts.benchmark.options import MODES, STANDARD, Options
from scripts.benchmark.scraping import Scraper
from tests.support.serving import serving
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]


class Page(tornado.web.RequestHandler):
    def initialize(self, text: str) -> None:
        self.text = text

    def get(self) -> None:
        self.finish(self.text)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraping, "PERIOD_S", 0.01)


async def test_nodes_are_asked_again_and_again_until_they_are_gone() -> None:
    routes = [("/metrics", Page, {"text": "# HELP\nswitchboard_sessions 3\n"})]
    async with Scraper() as scraper:
        async with serving(routes) as address:
            scraper.watch([port_of(address)])
            await eventually(lambda: scraper.answered > 2)
        await eventually(lambda: not scraper._ports)


async def test_a_page_without_metrics_spoils_the_run() -> None:
    async with serving([("/metrics", Page, {"text": "nothing"})]) as address:
        scraper = await Scraper().__aenter__()
        scraper.watch([port_of(address)])
        await eventually(lambda: scraper._task is not None and scraper._task.done())
        with pytest.raises(RuntimeError, match="no metrics"):
            await scraper.__aexit__(None, None, None)


def test_metrics_are_measured_only_when_asked_for() -> None:
    asked_for = MODES.keys() - {mode.name for mode in STANDARD}
    assert asked_for == {"metered", "unmetered", "cluster-accepted", "cluster-delivered"}
    pair = Options(modes=(MODES["unmetered"], MODES["metered"]))
    assert pair.clusters == ("unmetered", "metered")
    assert pair.estimate_seconds() > 0


def test_a_quick_run_compares_the_two_and_scrapes_one() -> None:
    command = [sys.executable, "-m", "scripts.benchmark", "--quick", "--nodes", "1"]
    run = subprocess.run(
        [*command, "--modes", "unmetered,metered", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["scrapes"] > 0
    assert [cost["nodes"] for cost in found["metrics_cost"]] == [1, 1, 1]
    assert all(cost["ratio"]["median"] > 0 for cost in found["metrics_cost"])
