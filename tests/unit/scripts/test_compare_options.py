import pytest
import typer

from scripts.comparison.__main__ import parse_modes
from scripts.comparison.broker import left_out
from scripts.comparison.cluster import known_modes
from scripts.comparison.options import DEFAULT_WORDS, MODES, Options, modes_of


def test_a_run_measures_routed_like_for_like_and_with_proof() -> None:
    assert [(mode.name, mode.how) for mode in modes_of(["routed", "channel"])] == [
        ("routed", "accepted"),
        ("channel", "accepted"),
        ("routed-delivered", "delivered"),
    ]


def test_modes_take_turns_within_each_repeat() -> None:
    options = Options(nodes=(1,), repeats=2, modes=modes_of(["routed", "broadcast"]))
    turns = [(repeat, mode.name) for _, repeat, regime, mode in options.cells() if regime.rate]
    names = ["routed", "broadcast", "routed-delivered"]
    assert turns == [(0, name) for name in names] + [(1, name) for name in names]


def test_a_quick_run_keeps_every_mode_and_both_loads() -> None:
    quick = Options().quicker()
    assert quick.modes == Options().modes
    assert {regime.name for regime in quick.regimes()} == {"full", "rate"}
    assert len(quick.nodes) == 2


def test_the_bar_counts_what_is_measured() -> None:
    options = Options(nodes=(1,), repeats=1, modes=modes_of(["routed", "channel"]))
    assert options.steps() == 2 * 3 + 2


def test_a_default_run_is_meant_to_end_within_ten_minutes() -> None:
    without_broker = modes_of(["routed", "channel", "broadcast"])
    assert Options(modes=without_broker).estimate_seconds() < 600


def test_words_of_modes_are_read_once_and_checked() -> None:
    assert parse_modes("channel,routed,channel") == ("channel", "routed")
    with pytest.raises(typer.BadParameter, match="'nats'"):
        parse_modes("routed,nats")


def test_what_this_version_cannot_do_is_left_out_with_the_reason() -> None:
    missing = left_out(DEFAULT_WORDS)
    assert set(missing) <= {"fanout"}
    assert all(word in known_modes() for word in DEFAULT_WORDS if word not in missing)
    assert all(why.startswith(f"{word} is left out: ") for word, why in missing.items())


def test_every_row_runs_on_a_delivery_mode() -> None:
    assert {mode.cluster for mode in MODES.values()} - {"fanout"} <= known_modes()
