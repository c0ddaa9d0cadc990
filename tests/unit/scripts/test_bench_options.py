import pytest
import typer

from scripts.benchmark.__main__ import parse_modes
from scripts.benchmark.options import MODES, STANDARD, Options
from scripts.measuring.command import parse_nodes
from scripts.measuring.modes import Regime


def test_modes_take_turns_within_each_repeat() -> None:
    options = Options(nodes=(1,), repeats=2, modes=(MODES["channel"], MODES["accepted"]))
    rate = [(repeat, mode.name) for _, repeat, regime, mode in options.cells() if regime.rate]
    assert rate == [(0, "channel"), (0, "accepted"), (1, "channel"), (1, "accepted")]


def test_what_would_be_measured_twice_is_left_out() -> None:
    cells = [(mode.name, regime) for _, _, regime, mode in Options(nodes=(1,), repeats=1).cells()]
    assert ("bare", Regime(outstanding=128)) not in cells
    assert ("one-by-one", Regime(rate=500.0)) not in cells
    assert len(cells) == 3 * len(STANDARD) - 2


def test_the_messages_of_a_rate_follow_from_its_seconds() -> None:
    options = Options(rate=500, seconds=2.5)
    assert options.messages_in(Regime(rate=500)) == 1250
    assert options.messages_in(Regime(outstanding=256)) == 20_000


def test_each_cluster_is_started_once() -> None:
    assert Options().clusters == ("bare", "channel", "routed")


def test_a_quick_run_keeps_every_mode() -> None:
    quick = Options().quicker()
    assert quick.modes == Options().modes
    assert quick.nodes == (2,)
    assert quick.estimate_seconds() < 20


def test_lists_of_nodes_are_read_in_order_and_once() -> None:
    assert parse_nodes("16,1,16") == (16, 1)


@pytest.mark.parametrize("text", ["", "a", "0", "1,-2", "65", "1;2"])
def test_other_lists_of_nodes_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_nodes(text)


def test_routed_means_all_confirm_levels() -> None:
    names = [mode.name for mode in parse_modes("bare,routed,written")]
    assert names == ["bare", "accepted", "written", "delivered"]


def test_channel_means_the_yardstick_itself_and_not_its_cluster() -> None:
    assert [mode.name for mode in parse_modes("channel")] == ["channel"]


def test_an_unknown_mode_is_refused_by_name() -> None:
    with pytest.raises(typer.BadParameter, match="'fanout'"):
        parse_modes("fanout")
