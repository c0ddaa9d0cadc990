import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from router.codec import RouteEntry, encode_route
from router.model import EndpointId
from router.store.fields import route_field
from scripts.benchmark.scale.options import Options
from scripts.benchmark.scale.people import SLICE, People, user_of
from scripts.benchmark.scale.probes import named
from scripts.benchmark.scale.rows import Row, once
from scripts.benchmark.scale.run import Results
from scripts.benchmark.scale.table import document, show
from scripts.measuring.stats import Spread
from tests.support.valkey import Program, programs

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "scripts.benchmark", "--scale"]
WITH_AIM = {
    "store memory per online user": 220,
    "cost of a send, store and sender": 1.1,
    "refreshes and heartbeats, share of a core": 25,
    "time to list a page": 50,
    "commands over 5 ms in the slow log, during all of the above": 0,
}


class TestRows:
    @pytest.mark.parametrize(
        ("value", "aim", "met"), [(219.9, 220, True), (220, 220, True), (220.1, 220, False)]
    )
    def test_an_aim_is_the_most_a_figure_may_be(self, value: float, aim: float, met: bool) -> None:
        assert Row("memory", once(value), "B", aim).met is met

    def test_what_is_held_against_the_aim_is_the_median(self) -> None:
        assert Row("page", Spread(40, 10, 400), "ms", 50).met is True

    def test_a_figure_without_an_aim_is_neither_met_nor_missed(self) -> None:
        assert Row("speed", once(1), "/s").met is None

    def test_a_range_is_shown_only_where_there_is_one(self) -> None:
        assert Row("speed", once(40_181.4), "/s", digits=0).shown() == "40,181"
        assert Row("ratio", Spread(1.05, 0.9, 1.3), "x", digits=2).shown() == "1.05 (0.90 - 1.30)"


ROWS = [
    Row("memory", once(213.3), "B", 220, "1,000,000 users", "one session each"),
    Row("ratio", Spread(1.2, 1.1, 1.3), "x", 1.1),
    Row("registrations", once(40_181), "/s", digits=0),
]


class TestTheTable:
    def test_it_says_of_each_aim_whether_it_is_met(self) -> None:
        file = io.StringIO()
        results = Results(rows=list(ROWS), store_version="valkey 9.1.2")
        show(Console(width=160, file=file), Options(), results)
        lines = {line.split()[1]: line for line in file.getvalue().splitlines() if "│" in line}
        assert "<= 220 B" in lines["memory"]
        assert lines["memory"].rstrip(" │").endswith("met")
        assert lines["ratio"].rstrip(" │").endswith("missed")
        assert "aim" not in lines["registrations"]

    def test_the_document_says_the_same(self) -> None:
        found = document(Options(users=10), Results(rows=list(ROWS)))
        assert [row["met"] for row in found["rows"]] == [True, False, None]
        assert found["settings"]["users"] == 10


class TestOptions:
    def test_a_quick_run_keeps_its_size_and_repeats_less(self) -> None:
        quick = Options().quicker()
        assert quick.users == Options().users
        assert quick.pairs < Options().pairs
        assert quick.seconds < Options().seconds

    def test_a_small_registry_has_a_small_rescue(self) -> None:
        assert Options(users=2_000).rescued == 2_000
        assert Options().rescued == 50_000


PEOPLE = People(1_003, [EndpointId(f"n{number + 1}.0123456789") for number in range(7)])


class TestPeople:
    def test_every_user_is_registered_once_and_on_their_own_endpoint(self) -> None:
        seen: list[int] = []
        for some in PEOPLE.slices(0, PEOPLE.users):
            sessions = [PEOPLE.session(number)[1] for number in some]
            assert len({session.endpoint for session in sessions}) == 1
            assert len(some) <= SLICE
            seen += some
        assert sorted(seen) == list(range(PEOPLE.users))

    def test_nobody_is_left_out_where_the_registry_is_filled_in_steps(self) -> None:
        steps = ((0, 100), (100, 101), (101, 1_003))
        seen = [n for first, last in steps for some in PEOPLE.slices(first, last) for n in some]
        assert sorted(seen) == list(range(PEOPLE.users))

    def test_users_are_spread_evenly(self) -> None:
        places = Counter(PEOPLE.session(number)[1].endpoint for number in range(PEOPLE.users))
        assert max(places.values()) - min(places.values()) <= 1

    def test_no_two_have_the_same_session(self) -> None:
        sessions = {PEOPLE.session(number)[1].session for number in range(100_000)}
        assert len(sessions) == 100_000

    def test_a_session_is_as_a_node_would_write_it(self) -> None:
        user, session = PEOPLE.session(5)
        field = route_field(session.endpoint, session.session)
        entry = encode_route(RouteEntry(session.device, session.address, session.since))
        assert (user, len(field), len(entry)) == ("user-0000005", 16, 11)

    def test_users_are_listed_in_the_order_of_their_numbers(self) -> None:
        names = [user_of(number) for number in range(0, 1_000_000, 9_973)]
        assert names == sorted(names)


class TestTheCommand:
    @pytest.mark.timeout(300)
    @pytest.mark.parametrize("program", programs(), ids=lambda program: program.name)
    def test_a_small_run_shows_every_figure(self, tmp_path: Path, program: Program) -> None:
        run = subprocess.run(
            [
                *(
                    *COMMAND,
                    "--quick",
                    "--only",
                    "registry",
                    "--users",
                    "2000",
                    "--seconds",
                    "1",
                    "--repeats",
                    "2",
                ),
                *("--server", program.path if program.name == "redis" else ""),
                *("--json", "--out", tmp_path),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        found = json.loads(run.stdout)
        assert found == json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
        assert found["versions"]["store"].startswith(program.name)
        rows = {row["figure"]: row for row in found["rows"]}
        assert len(rows) == len(found["rows"])
        assert {
            name: row["aim"] for name, row in rows.items() if row["met"] is not None
        } == WITH_AIM
        for name, row in rows.items():
            value = row["value"]
            assert 0 <= value["low"] <= value["median"] <= value["high"], name
            assert value["median"] > 0 or row["aim"] == 0, name
        assert set(found["facts"]["took_s"]) == {probe.name for probe in named("registry")}
        table = (tmp_path / "table.txt").read_text(encoding="utf-8")
        assert all(name in table for name in WITH_AIM)
        assert (tmp_path / "memory.svg").exists()

    @pytest.mark.parametrize("wrong", [["--users", "0"], ["--nodes", "1"], ["--seconds", "x"]])
    def test_wrong_options_are_usage_errors(self, wrong: list[str]) -> None:
        run = subprocess.run([*COMMAND, *wrong], cwd=ROOT, capture_output=True, check=False)
        assert run.returncode == 2

    def test_help_has_an_example(self) -> None:
        run = subprocess.run(
            [*COMMAND, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0
        assert "scripts/bench --scale --quick" in run.stdout

    def test_a_store_that_cannot_be_started_is_one_sentence(self, tmp_path: Path) -> None:
        run = subprocess.run(
            [*COMMAND, "--only", "registry", "--users", "10", "--server", sys.executable],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 1
        assert "did not start" in run.stderr
        assert "Traceback" not in run.stderr
