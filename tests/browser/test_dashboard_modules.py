"""The dashboard's pure modules, imported one by one into a page."""

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
        path = f"/static/dashboard/{module}"
        return page.evaluate(
            f"async (given) => ({script})(await import('{path}'), given)", argument
        )

    yield evaluate
    context.close()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("count", 1234567, "1,234,567"),
        ("count", None, "\N{EN DASH}"),
        ("rate", 0.256, "0.26/s"),
        ("rate", 4.21, "4.2/s"),
        ("rate", 4211.4, "4,211/s"),
        ("percent", 3.14, "3.1 %"),
        ("percent", 104.6, "105 %"),
        ("milliseconds", 0.042, "0.04 ms"),
        ("milliseconds", 999.4, "999 ms"),
        ("milliseconds", 12_345, "12.3 s"),
        ("bytes", 2_048, "2 KiB"),
        ("bytes", 88_080_384, "84 MiB"),
        ("bytes", 7 << 30, "7 GiB"),
        ("duration", 0.42, "0.4 s"),
        ("duration", -0.1, "0 s"),
        ("duration", 59.6, "60 s"),
        ("duration", 150, "2 min"),
        ("duration", 3 * 3600, "3 h"),
        ("duration", 5 * 86_400, "5 days"),
    ],
)
def test_figures_are_short_and_have_a_unit(call: Call, name: str, value: Any, text: str) -> None:
    assert call("figures.js", f"(m, value) => m.{name}(value)", value) == text


FIGURES = """{per_second: {delivered: 1, busy: 0}, latency_ms: {p50: 1, p99: 2}, sessions: 3,
    rescues, fences: null}"""


def test_history_is_bounded_in_time_and_in_number(call: Call) -> None:
    script = f"""({{ History }}) => {{
        const history = new History(), rescues = 0;
        for (let s = 0; s < 900; s += 1) history.add({FIGURES}, s * 1000);
        const kept = [history.samples.length, history.samples[0].at];
        for (let s = 0; s < 5000; s += 1) history.add({FIGURES}, 900_000 + s);
        return [...kept, history.samples.length];
    }}"""
    assert call("history.js", script) == [601, 299_000, 700]


def test_history_has_a_hole_where_nothing_was_heard(call: Call) -> None:
    script = f"""({{ History }}) => {{
        const history = new History(), rescues = 0;
        for (const at of [0, 1000, 9000]) history.add({FIGURES}, at);
        return history.samples.map((sample) => [sample.at, sample.sessions]);
    }}"""
    assert call("history.js", script) == [[0, 3], [1000, 3], [1001, None], [9000, 3]]


def test_rescues_count_from_now_on_and_do_not_fall_with_a_node(call: Call) -> None:
    script = f"""({{ History }}) => {{
        const history = new History();
        [7, 9, 2, 3, null].forEach((rescues, s) => history.add({FIGURES}, s * 1000));
        return history.samples.map((sample) => sample.rescues);
    }}"""
    assert call("history.js", script) == [0, 2, 2, 3, None]


def test_frames_that_make_no_sense_are_none(call: Call) -> None:
    script = """({ readFrame }, frames) => frames.map((frame) => readFrame(frame) === null)"""
    frames = [None, "", "{", "null", "7", '{"type":"other"}', '{"type":"cluster","nodes":7}']
    assert call("feed.js", script, frames) == [True] * len(frames)


def test_what_a_frame_leaves_out_is_not_known(call: Call) -> None:
    script = """({ readFrame }) => readFrame('{"type":"cluster","at":1,"nodes":[]}').figures"""
    assert call("feed.js", script) == {
        "at": 1,
        "nodes": [],
        "per_second": {},
        "latency_ms": {"p50": None, "p99": None},
        "sessions": None,
        "users": None,
        "rescues": None,
        "fences": None,
    }


def test_a_lost_endpoint_is_left_out_once_its_node_is_back(call: Call) -> None:
    script = """({ readFrame }, nodes) => readFrame(JSON.stringify({type: 'cluster', nodes}))
        .figures.nodes.map(({ name, state }) => `${name} ${state}`)"""
    nodes = [
        {"name": "n10", "endpoint": "n10.1", "address": "a:3", "state": "lost"},
        {"name": "n2", "endpoint": "n2.2", "address": "a:2", "state": "live"},
        {"name": "n2", "endpoint": "n2.1", "address": "a:2", "state": "lost"},
    ]
    assert call("feed.js", script, nodes) == ["n2 live", "n10 lost"]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("sb_ops_Zx81aB-_.", ""),
        ("", "Please enter the key."),
        ("two words", "That is no key: a key has only letters, digits, _ and -."),
        ("ключ", "That is no key: a key has only letters, digits, _ and -."),
    ],
)
def test_a_key_is_one_that_a_subprotocol_can_carry(call: Call, key: str, words: str) -> None:
    assert call("api.js", "({ keyProblem }, key) => keyProblem(key)", key) == words
