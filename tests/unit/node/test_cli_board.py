"""The picture that `switchboard watch` shows, at several sizes."""

import io

import pytest
from rich.console import Console

from node.cli.board import Board, size, sparkline
from node.figures import ClusterFigures, Latency, NodeFigures
from router.model import OnlineUser, Outcome, UserId

HOSTILE = "\x1b[2Jn1\r\n[bold]"


def node(name: str, state: str = "live", *, known: bool = True) -> NodeFigures:
    return NodeFigures(
        name=name,
        endpoint=f"{name}.e1",
        pid=4_711,
        address="10.0.0.1:8001",
        state=state,
        sessions=1_234,
        inbox=140,
        heartbeat_age_s=0.7 if known else None,
        received=10,
        delivered=9,
        received_per_second=812.25,
        delivered_per_second=911.0,
        cpu_percent=12.4 if known else None,
        rss_bytes=64_200_000 if known else None,
        lag_ms=1.5 if known else None,
    )


def figures(*nodes: NodeFigures, delivered: float | None = 812.25) -> ClusterFigures:
    rates: dict[str, float | None] = dict.fromkeys([o.value for o in Outcome], delivered and 0.0)
    rates["delivered"] = delivered
    return ClusterFigures(
        at=1_795_419_635.0,
        nodes=list(nodes),
        per_second=rates,
        latency_ms=Latency(1.25, 1_490.0) if delivered else Latency(None, None),
        sessions=2_468,
        users=2_000,
        rescues=3,
        fences=4,
    )


def board(*nodes: NodeFigures) -> Board:
    found = Board("127.0.0.1:6379")
    found.take(figures(*nodes))
    found.users = [OnlineUser(UserId(f"u{n}"), 1, ("n1", "n2"), 1e9 + n) for n in range(30)]
    return found


def lines(shown: Board, width: int, height: int | None, *, unicode: bool = True) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height or 25, force_terminal=False)
    console.print(shown.draw(width, height, unicode=unicode))
    return out.getvalue().rstrip("\n").split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 36), (60, 16), (200, 60)])
@pytest.mark.parametrize("count", [0, 1, 3, 100])
def test_it_fits_into_the_terminal(width: int, height: int, count: int) -> None:
    picture = lines(board(*(node(f"n{n}") for n in range(count))), width, height)
    assert len(picture) <= height
    assert max(map(len, picture)) <= width


def test_at_80_columns_it_tells_what_matters() -> None:
    text = "\n".join(lines(board(node("n1"), node("n2", "lost", known=False)), 80, 24))
    for told in (
        *("switchboard", "127.0.0.1:6379", "1 live", "1 lost", "sessions 2,468", "users 2,000"),
        *("p50 1.2 ms", "p99 1.5 s", "812.2", "911.0", "0.7 s", "12 %", "64 MB", "140"),
        *("outcomes, 812.2 in all", "delivered", "latest users", "u0"),
    ):
        assert told in text, told
    assert "10.0.0.1:8001" not in text


def test_a_wide_terminal_shows_more() -> None:
    text = "\n".join(lines(board(node("n1")), 120, 36))
    for told in ("10.0.0.1:8001", "4711", "1.5 ms", "rescues 3", "fences 4", "unknown"):
        assert told in text, told


def test_nodes_for_which_there_is_no_room_are_counted() -> None:
    text = "\n".join(lines(board(*(node(f"n{n}") for n in range(40))), 80, 24))
    assert "nodes, and 31 more" in text


def test_without_rates_it_shows_none_and_not_zero() -> None:
    shown = board(node("n1"))
    shown.take(figures(node("n1"), delivered=None))
    row = next(line for line in lines(shown, 80, 24) if "delivered" in line)
    assert row.split("│")[1].split() == ["delivered", "-"]
    assert "p50 -" in "\n".join(lines(shown, 80, 24))


def test_nothing_from_the_store_steers_the_terminal() -> None:
    shown = board(node(HOSTILE, state="\x1b]0;x\x07"))
    shown.users = [OnlineUser(UserId(HOSTILE), 1, (HOSTILE,), 1e30)]
    shown.trouble = "away\x1b[2J"
    text = "\n".join(lines(shown, 120, 36))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\\x1b[2Jn1\\r\\n[bold]" in text


def test_old_figures_stay_with_the_reason_until_there_are_new_ones() -> None:
    shown = board(node("n1"))
    shown.trouble = "the store at 127.0.0.1:6379 is not available: Connection refused"
    assert "is not available" in "\n".join(lines(shown, 80, 24))
    shown.take(figures(node("n1")))
    assert "is not available" not in "\n".join(lines(shown, 80, 24))


def test_before_the_first_look_it_says_so() -> None:
    assert "looking" in "\n".join(lines(Board("x:1"), 80, 24))


def test_of_more_users_than_were_looked_at_it_says_so() -> None:
    shown = board(node("n1"))
    shown.of_first = 1_000
    assert "latest users of the first 1,000" in "\n".join(lines(shown, 80, 24))


class TestBars:
    def test_the_highest_is_the_highest_and_the_last_are_shown(self) -> None:
        assert sparkline([9, 1, 4, 8], 3, unicode=True) == "▁▄█"
        assert sparkline([1], 4, unicode=True) == "   █"
        assert sparkline([0, 0], 3, unicode=True) == " ▁▁"
        assert sparkline([], 2, unicode=True) == "  "

    def test_a_terminal_without_unicode_gets_ascii(self) -> None:
        assert sparkline([0, 1, 2], 3, unicode=False).isascii()


@pytest.mark.parametrize(
    ("count", "told"),
    [(None, ""), (0, "0 B"), (999, "999 B"), (64_200_000, "64 MB"), (3e12, "3.0 TB")],
)
def test_bytes_are_for_people(count: float | None, told: str) -> None:
    assert size(count) == told
