"""The page's pure modules, imported one by one into a page."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Cluster

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def call(browser: Browser, cluster: Cluster) -> Iterator[Call]:
    """Evaluate `script`, a function of the module and one argument."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(cluster.urls["n1"])

    def evaluate(module: str, script: str, argument: Any = None) -> Any:
        program = f"async (argument) => ({script})(await import('/static/{module}'), argument)"
        return page.evaluate(program, argument)

    yield evaluate
    context.close()


@pytest.mark.parametrize(
    ("failures", "shortest", "longest"),
    [(0, 0, 500), (1, 0, 500), (2, 0, 1_000), (5, 0, 8_000), (6, 0, 15_000), (5_000, 0, 15_000)],
)
def test_backoff_doubles_up_to_its_cap_and_is_spread_over_all_of_it(
    call: Call, failures: int, shortest: int, longest: int
) -> None:
    script = """({ backoffMs }, failures) => [0, 0.999999].map(
        (dice) => backoffMs(failures, { baseMs: 500, capMs: 15000 }, () => dice))"""
    assert call("switchboard/backoff.js", script, failures) == [shortest, longest]


def test_recent_ids_forget_the_oldest_first(call: Call) -> None:
    script = """({ RecentIds }) => {
        const ids = new RecentIds(2);
        return ["a", "b", "a", "c", "b", "a"].map((id) => ids.add(id));
    }"""
    assert call("switchboard/recent.js", script) == [True, True, False, True, False, True]


@pytest.mark.parametrize(
    ("a", "b", "after"),
    [
        ("1-0", "", True),
        ("", "1-0", False),
        ("", "", False),
        ("2-0", "1-9", True),
        ("10-0", "9-0", True),
        ("1-10", "1-9", True),
        ("1-9", "1-9", False),
        ("5-18446744073709551615", "5-18446744073709551614", True),
    ],
)
def test_offsets_compare_as_two_numbers(call: Call, a: str, b: str, after: bool) -> None:
    script = "({ isAfter }, [a, b]) => isAfter(a, b)"
    assert call("switchboard/offsets.js", script, [a, b]) is after


_A, _B, _C = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"
_ALL_LIVE = [(_A, "live"), (_B, "live"), (_C, "live")]
_A_DRAINS = [(_A, "draining"), (_B, "live"), (_C, "lost")]


@pytest.mark.parametrize(
    ("nodes", "failures", "elsewhere", "chosen"),
    [
        (_ALL_LIVE, 0, False, _A),
        (_ALL_LIVE, 2, False, _A),
        (_ALL_LIVE, 3, False, _A),  # each in turn
        (_ALL_LIVE, 4, False, _B),
        (_ALL_LIVE, 5, False, _C),
        (_ALL_LIVE, 6, False, _A),
        (_ALL_LIVE, 1, True, _C),
        (_A_DRAINS, 0, False, _B),
        ([(_A, "live")], 5, True, _A),  # nowhere else to go
        ([], 5, False, _A),  # the registry has not answered
    ],
)
def test_the_next_address(
    call: Call, nodes: list[tuple[str, str]], failures: int, elsewhere: bool, chosen: str
) -> None:
    script = """({ chooseAddress }, { nodes, wanted, situation }) =>
        chooseAddress(nodes, wanted, situation)"""
    argument = {
        "nodes": [{"address": address, "state": state} for address, state in nodes],
        "wanted": _A,
        "situation": {"failures": failures, "elsewhere": elsewhere},
    }
    assert call("placement.js", script, argument) == chosen


@pytest.mark.parametrize(
    ("address", "host", "served", "reachable"),
    [
        ("127.0.0.1:8001", "127.0.0.1:8001", True, True),
        ("127.0.0.1:8001", "localhost:8001", True, True),
        ("127.0.0.1:8002", "localhost:8001", False, True),
        ("[::1]:8001", "[::1]:8001", True, True),
        ("[::1]:8002", "[::1]:8001", False, False),
        ("10.0.0.7:8001", "127.0.0.1:8001", False, False),
        ("example.org:8001", "example.org:8001", True, True),
    ],
)
def test_who_served_the_page_and_whom_it_can_reach(
    call: Call, address: str, host: str, served: bool, reachable: bool
) -> None:
    script = """({ servedBy, reachable }, [address, host]) =>
        [servedBy(address, host), reachable(address, host)]"""
    assert call("placement.js", script, [address, host]) == [served, reachable]


def test_counters_belong_to_processes(call: Call) -> None:
    script = """({ Counters }) => {
        const node = (name, pid, received, state = "live") => ({ name, pid, received, state });
        const counters = new Counters();
        const looks = [
            [],
            [node("n1", 1, 500), node("n2", 2, 7)],
            [node("n1", 1, 500), node("n2", 2, 8)],
            [node("n1", 1, 0, "lost"), node("n2", 2, 8)],
            [node("n1", 1, 502), node("n2", 2, 8)],
            [node("n1", 9, 1), node("n2", 2, 8)],
            [node("n1", 9, 1), node("n2", 2, 8), node("n3", 3, 5, "lost")],
        ];
        return looks.map((nodes) => {
            const risen = counters.look(nodes);
            return [risen, ...nodes.map((node) => [counters.total(node), counters.rise(node)])];
        });
    }"""
    assert call("counters.js", script) == [
        [False],
        [False, [500, 0], [7, 0]],
        [True, [500, 0], [8, 1]],
        [False, [500, 0], [8, 1]],  # a lost node keeps what it had
        [True, [502, 2], [8, 0]],  # back again, under another epoch
        [True, [1, 1], [8, 0]],  # a restart counts from nothing
        [False, [1, 1], [8, 0], [5, 0]],  # whoever is lost receives nothing now
    ]


@pytest.mark.parametrize(
    ("typed", "data", "is_json"),
    [
        ('{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}, True),
        ('"quoted"', "quoted", True),
        ("42", 42, True),
        ("hello", "hello", False),
        ("{not json}", "{not json}", False),
        ("", "", False),
    ],
)
def test_json_if_it_parses_else_text(call: Call, typed: str, data: object, is_json: bool) -> None:
    script = "({ readData }, typed) => readData(typed)"
    assert call("view/data.js", script, typed) == {"data": data, "isJson": is_json}


def test_long_data_is_shown_in_part(call: Call) -> None:
    shown = call("view/data.js", "({ showData }, data) => showData(data)", "x" * 5_000)
    assert shown == "x" * 2_000 + " … and 3,000 more characters"


@pytest.mark.parametrize(
    ("user", "problem"),
    [
        ("alice", ""),
        ("Žofie.9@example|x", ""),
        ("😀" * 128, ""),
        ("", "Please enter"),
        ("al ice", "no spaces"),
        ("al\u00a0ice", "no spaces"),
        ("{alice}", "no { or }"),
        ("al\u0007ice", "printable"),
        ("al\u200bice", "printable"),
        ("😀" * 129, "at most 128 characters; this one has 129"),
    ],
)
def test_the_rules_of_a_user_id(call: Call, user: str, problem: str) -> None:
    told = call("view/data.js", "({ userProblem }, user) => userProblem(user)", user)
    assert problem in told
    assert bool(told) is bool(problem)


def test_words_nobody_knows_are_no_error(call: Call) -> None:
    assert call("switchboard/closings.js", "({ closing }) => closing(4999).reconnect") is True
    assert call("outcomes.js", "({ outcomeWords }) => outcomeWords('new').tone") == "warn"
