"""Which nodes there are to be, and when one that died starts again."""

import pytest

from node.respawn import NodePlan, backoff_s, failures_after, how_it_ended, plan_nodes
from router.errors import InvalidRequest


def test_nodes_are_numbered_on_consecutive_ports() -> None:
    assert plan_nodes(3, "127.0.0.1", 8001) == [
        NodePlan("n1", "127.0.0.1", 8001),
        NodePlan("n2", "127.0.0.1", 8002),
        NodePlan("n3", "127.0.0.1", 8003),
    ]


def test_the_last_port_is_the_last_port() -> None:
    assert plan_nodes(2, "::1", 65_534)[-1].port == 65_535
    with pytest.raises(InvalidRequest, match="2 nodes from 65535 on would pass 65535"):
        plan_nodes(2, "::1", 65_535)


def test_apis_with_ports_of_their_own_have_consecutive_ones_too() -> None:
    plans = plan_nodes(2, "127.0.0.1", 8001, api_port=9001)
    assert [(plan.port, plan.api_port) for plan in plans] == [(8001, 9001), (8002, 9002)]
    for api_port in (8002, 8000):
        with pytest.raises(InvalidRequest, match=r"would need ports of api\.port"):
            plan_nodes(2, "127.0.0.1", 8001, api_port=api_port)
    with pytest.raises(InvalidRequest, match="would pass 65535"):
        plan_nodes(2, "127.0.0.1", 8001, api_port=65_535)


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://127.0.0.1:80/"), ("::1", "http://[::1]:80/")]
)
def test_a_plan_knows_its_address(host: str, url: str) -> None:
    assert NodePlan("n1", host, 80).url == url


def test_delays_double_from_half_a_second_and_stay_under_thirty() -> None:
    assert [backoff_s(n, 0.0) for n in range(1, 9)] == [0.5, 1, 2, 4, 8, 15, 15, 15]
    assert [backoff_s(n, 1.0) for n in range(1, 9)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_many_failures_are_no_overflow() -> None:
    assert backoff_s(1_000_000, 0.5) == 22.5


@pytest.mark.parametrize(
    ("failures", "lived_s", "now"), [(0, 0.1, 1), (3, 0.1, 4), (3, 29.9, 4), (3, 30.0, 1)]
)
def test_what_lived_long_begins_anew(failures: int, lived_s: float, now: int) -> None:
    assert failures_after(failures, lived_s) == now


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "ended by itself"), (1, "ended with status 1"), (-9, "was killed by SIGKILL")],
)
def test_an_end_is_told_in_words(status: int, words: str) -> None:
    assert how_it_ended(status) == words
