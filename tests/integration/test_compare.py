"""`scripts/compare` as users run it; one quick run serves most tests."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from scripts.comparison.document import load
from tests.support.browser import running_browser

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "scripts.comparison"]
LIMIT_S = 400  # it takes a minute alone on two cores, and several beside other work
ROWS = ("routed", "channel", "broadcast", "routed-delivered")

pytestmark = pytest.mark.timeout(LIMIT_S + 60)


@dataclass(frozen=True, slots=True)
class Run:
    """A finished quick run."""

    status: int
    errors: str
    found: dict[str, Any]
    out: Path

    def cells(self, mode: str, nodes: int) -> list[dict[str, Any]]:
        """Return the cells of one row."""
        return [c for c in self.found["cells"] if (c["mode"], c["nodes"]) == (mode, nodes)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("compare")
    modes = "routed,channel,broadcast,sticky"
    ended = subprocess.run(
        [*COMMAND, "--quick", "--modes", modes, "--json", "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert ended.stdout, ended.stderr
    return Run(ended.returncode, ended.stderr, json.loads(ended.stdout), out)


def test_a_quick_run_ends_well(run: Run) -> None:
    assert run.status == 0, run.errors


def test_the_file_is_what_was_printed_and_keeps_its_schema(run: Run) -> None:
    raw = (run.out / "results.json").read_bytes()
    assert json.loads(raw) == run.found
    assert len(load(raw).cells) == 2 * 2 * len(ROWS)


def test_every_row_is_measured_under_both_loads_and_loses_nothing(run: Run) -> None:
    assert {(c["mode"], c["nodes"], c["regime"]) for c in run.found["cells"]} == {
        (mode, nodes, regime) for mode in ROWS for nodes in (1, 2) for regime in ("full", "rate")
    }
    for cell in run.found["cells"]:
        assert (cell["lost"], cell["doubled"], cell["misdelivered"]) == (0, 0, 0), cell
        assert 0 < cell["p50_ms"] <= cell["p95_ms"] <= cell["p99_ms"]
        assert min(cell["cpu_nodes"], cell["cpu_store"], cell["cpu_sender"]) > 0


def test_only_broadcast_hands_messages_to_nodes_for_nothing(run: Run) -> None:
    assert {cell["wasted"] for cell in run.cells("broadcast", 2)} == {1.0}
    for mode in ("routed", "channel", "routed-delivered"):
        assert {cell["wasted"] for cell in run.cells(mode, 2)} == {0.0}


def test_one_message_to_many_is_few_envelopes_when_routed(run: Run) -> None:
    envelopes = {cell["mode"]: cell["envelopes"] for cell in run.found["multicast"]}
    assert (envelopes["channel"], envelopes["broadcast"]) == (40.0, 2.0)
    # Two per node where some users must be looked up and others need not.
    assert 2 <= envelopes["routed"] < 4


def test_everybody_is_in_reach_again_after_a_restart_of_the_store(run: Run) -> None:
    for row in run.found["logins"]:
        assert row["restart_reachable_s"] is not None, row
        assert row["login_us"] > 0


def test_hashing_by_ip_leaves_what_cannot_be_delivered(run: Run) -> None:
    one, two = run.found["sticky"]
    assert one["undelivered_share"] == 0
    assert two["undelivered_share"] == pytest.approx(1 / 2, abs=0.12)
    assert two["misdelivered"] == 0


# A module's: while Playwright runs, no other event loop can run in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_draws_itself_without_network(run: Run, browser: Browser, scheme: Any) -> None:
    context = browser.new_context(offline=True, color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    report = (run.out / "report.html").as_uri()
    page.goto(report)
    assert page.locator("#charts svg").count() == 8
    box = page.locator("#charts svg").first.bounding_box()
    assert box is not None
    assert box["width"] > 300
    page.locator(".dot").first.hover()
    assert "nodes 1:" in page.locator("#told").inner_text()
    page.locator(".legend[data-series=broadcast]").first.click()
    assert page.locator("g.series[data-series=broadcast]").first.is_hidden()
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(ground) != before
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_the_report_can_be_made_again_from_the_results(run: Run, tmp_path: Path) -> None:
    again = subprocess.run(
        [*COMMAND, "--render", str(run.out / "results.json"), "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert "ratio to routed" in again.stdout
    for name in ("report.html", "cpu-rate.svg"):
        assert (tmp_path / name).read_bytes() == (run.out / name).read_bytes()
    assert (tmp_path / "cpu-rate.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "wrong",
    [["--nodes", "0"], ["--modes", "nats"], ["--size", "1"], ["--render", "no-such-file.json"]],
)
def test_wrong_options_are_usage_errors(wrong: list[str]) -> None:
    ended = subprocess.run([*COMMAND, *wrong], cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == 2


def test_help_has_an_example() -> None:
    shown = subprocess.run(
        [*COMMAND, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0
    assert "scripts/compare --nodes" in shown.stdout
