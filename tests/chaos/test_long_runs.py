"""The runs that take minutes: `scripts/test --long`."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.faults.audit import audit
from scripts.faults.balance import balance, rescue_seconds
from scripts.faults.book import Book
from scripts.faults.ledger import LOGS
from scripts.faults.logs import read_logs
from scripts.faults.options import CLUSTER, SENTINEL, Options
from scripts.faults.run import run
from scripts.faults.steps import BEHIND, CLIENTS, STORE, Step
from scripts.measuring.store import Stores
from tests.chaos.test_short_run import RUN
from tests.chaos.test_short_run import run as command

pytestmark = [pytest.mark.long, pytest.mark.timeout(500)]
FULL = ["--seconds", "120", "--nodes", "4", "--users", "200", "--rate", "300", "--faults", "all"]


@pytest.mark.parametrize("seed", range(1, 11))
def test_two_minutes_of_everything_break_no_promise(seed: int) -> None:
    ended = command(*RUN, *FULL, "--seed", str(seed), "--json", limit_s=450)
    print(ended.stderr)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert (figures["misdelivered"], figures["lost"], figures["findings"]) == (0, 0, [])
    assert figures["sent"] == 36_000


def test_applications_on_the_sdk_get_every_durable_message_once_and_in_order() -> None:
    options = ["--seconds", "60", "--faults", "kill,drain", "--clients", "sdk", "--pages", "2"]
    options.append("--json")
    ended = command(*RUN, *options, limit_s=450)
    print(ended.stderr)
    assert ended.returncode == 0, ended.stderr
    figures = json.loads(ended.stdout)
    assert (figures["findings"], figures["repeats_filtered"]) == ([], 0)
    assert figures["faults"].keys() == {"kill", "drain"}
    assert figures["pages"]["clients"] == 2
    assert figures["pages"]["received durable"] > 500


async def play(folder: Path, options: Options, plan: Sequence[Step]) -> Book:
    """Run a plan of the test's own; return its book, whose promises have all been kept."""
    with Stores(folder / "stores") as stores:
        await run(options, folder, stores, lambda *_: None, plan)
    book = Book.read(folder)
    lines = list(read_logs(folder, book.run.wall_ns))
    findings = audit(book, lines)
    print(balance(book, findings))
    for log in (folder / LOGS).glob("*.log") if findings else ():
        with contextlib.suppress(OSError):
            print(f"---- {log.name}\n{log.read_text()[-2_000:]}")
    assert findings == []
    return book


async def test_what_waits_in_a_dead_nodes_inbox_reaches_users_who_came_back(
    tmp_path: Path,
) -> None:
    options = Options(seconds=30, users=100, rate=200, faults=(), durable=0.2)
    plan = [Step(5, "kill", "n1", "kill-full", 25)]
    book = await play(tmp_path, options, plan)
    seconds = rescue_seconds(book)
    assert len(seconds) >= 10
    assert max(seconds) < options.lease_s + 8


async def test_nothing_is_called_delivered_to_clients_that_do_not_read(tmp_path: Path) -> None:
    options = Options(seconds=20, nodes=2, users=60, rate=150, faults=(), quick=True)
    plan = [
        Step(2, "move", CLIENTS, "deaf", 60, 0.3),
        *(Step(at, "move", CLIENTS, "vanish", 0, 0.3) for at in (4, 8, 12)),
        Step(14, "move", CLIENTS, "storm", 0, 1),
    ]
    book = await play(tmp_path, options, plan)
    silent = [m for m in book.messages.values() if m.word == "unknown" and not m.got]
    assert len(silent) > 20
    assert sum(m.word == "delivered" for m in book.messages.values()) > 500


async def test_what_queued_promised_outlives_a_power_cut(tmp_path: Path) -> None:
    options = Options(seconds=15, nodes=2, users=60, rate=100, faults=(), durable=1.0, quick=True)
    plan = [Step(2, "move", CLIENTS, "go", 0, 0.7), Step(7, "power", STORE, "", 1.0)]
    book = await play(tmp_path, options, plan)
    queued = [m for m in book.messages.values() if m.word == "queued"]
    assert len(queued) > 100
    assert all(m.got for m in queued)


@pytest.mark.parametrize("store", [CLUSTER, SENTINEL])
async def test_what_was_promised_outlives_a_master_whose_replica_was_behind(
    tmp_path: Path, store: str
) -> None:
    """Half of the devices are away, so that what one device has, another one has yet to get."""
    options = Options(
        seconds=20, nodes=3, users=100, rate=150, faults=(), durable=1.0, quick=True, store=store
    )
    plan = [
        Step(2, "move", CLIENTS, "go", 0, 0.5),
        Step(3, "master-kill", STORE, BEHIND, 0.3, 0),
    ]
    book = await play(tmp_path, options, plan)
    reasons = [m.told[0].reason for m in book.messages.values() if m.word == "unknown"]
    assert any("0 of 1 replicas have it" in reason for reason in reasons)
    assert sum(m.word == "queued" for m in book.messages.values()) > 100
