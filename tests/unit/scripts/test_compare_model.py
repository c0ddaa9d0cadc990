import msgspec
import pytest

from scripts.comparison.document import Background, Cell, Fit, Model
from scripts.comparison.model import MAX_NODES, background_of, cost, fit_model, growth, line
from scripts.measuring.cell import Idle
from tests.support.comparison import RECORDED

USERS = 400


def idle(mode: str, nodes: int, cpu: float) -> Idle:
    return Idle(mode, nodes, cpu, 0.0, 0.0, 0.0, 0.0, 0.0)


def cell(mode: str, nodes: int, cpu_nodes: float, repeat: int = 0) -> Cell:
    like = RECORDED.cells[0]
    return msgspec.structs.replace(
        like,
        mode=mode,
        nodes=nodes,
        regime="rate",
        repeat=repeat,
        per_second=500.0,
        cpu_nodes=cpu_nodes,
        cpu_store=0.0,
    )


def test_a_line_through_two_points_goes_through_both() -> None:
    assert line([(1, 3), (3, 7)]) == pytest.approx((1, 2))


def test_a_line_never_falls_and_never_starts_below_zero() -> None:
    assert line([(1, 5), (2, 4)])[1] == 0.0
    assert line([(1, 1), (2, 4)])[0] == 0.0


def test_small_values_count_as_much_as_large_ones() -> None:
    alpha, beta = line([(1, 1.0), (2, 2.2), (100, 80.0)])
    assert alpha + beta == pytest.approx(1.0, rel=0.15)


def test_the_background_is_parted_into_nodes_and_users() -> None:
    found = background_of([idle("routed", n, 0.01 + 0.002 * n) for n in (1, 4, 16)], USERS)
    assert [one.mode for one in found] == ["routed"]
    assert (found[0].per_node, found[0].per_user) == pytest.approx((0.002, 0.01 / USERS))


def test_known_constants_are_found_again() -> None:
    """Cells made from alpha, beta and a background give these back."""
    cells = []
    for nodes in (1, 4, 16):
        behind = 0.002 * nodes * 10_000 / 500
        cells.append(cell("routed", nodes, 1.8 + 0.5 * (1 - 1 / (2 * nodes)) + behind))
        cells.append(cell("broadcast", nodes, 0.8 + 0.3 * nodes + behind))
    idles = [idle(mode, n, 0.002 * n) for mode in ("routed", "broadcast") for n in (1, 4, 16)]
    model = fit_model(cells, background_of(idles, USERS), USERS, 128)
    routed, broadcast = model.fits
    assert (routed.shape, broadcast.shape) == ("directed", "spread")
    assert (routed.alpha, routed.beta) == pytest.approx((1.8, 0.5), rel=1e-2)
    assert (broadcast.alpha, broadcast.beta) == pytest.approx((0.8, 0.3), rel=1e-3)
    assert max(routed.error, broadcast.error) < 0.01
    # 0.8 + 0.3 N exceeds 1.8 + 0.5 (1 - 1/2N) from 5 nodes on.
    assert [(one.mode, one.nodes) for one in model.crossings] == [("broadcast", 5)]


def test_a_mode_that_is_always_cheaper_is_never_crossed() -> None:
    cells = [cell("routed", n, 2.0) for n in (1, 4)] + [cell("channel", n, 1.0) for n in (1, 4)]
    (crossing,) = fit_model(cells, [], USERS, 128).crossings
    assert crossing.nodes is None


def test_one_number_of_nodes_gives_no_fit() -> None:
    model = fit_model([cell("routed", 4, 2.0), cell("broadcast", 4, 2.0)], [], USERS, 128)
    assert (model.fits, model.crossings) == ([], [])


def test_a_lower_rate_makes_the_background_heavier() -> None:
    fit = Fit("routed", "rate", "directed", 2, 1.0, 0.0, 500.0, 0.0)
    model = Model("", [fit], [Background("routed", 0.001, 0.0)])
    assert cost(model, fit, 10, USERS) == pytest.approx(1.2)
    assert cost(model, fit, 10, USERS, rate=100.0) == pytest.approx(2.0)


def test_routed_delivered_runs_on_the_nodes_of_routed() -> None:
    fit = Fit("routed-delivered", "rate", "directed", 2, 1.0, 0.0, 500.0, 0.0)
    model = Model("", [fit], [Background("routed", 0.001, 0.0)])
    assert cost(model, fit, 10, USERS) == pytest.approx(1.2)


def test_what_goes_to_one_node_stops_growing() -> None:
    assert growth("directed", 1, 128) == 1 / 128
    assert growth("directed", 4, 128) == pytest.approx(4 / 128)
    assert 0.9 < growth("directed", MAX_NODES, 128) < 1
    assert growth("spread", MAX_NODES, 128) == MAX_NODES


def test_the_model_of_a_recorded_run_is_near_its_medians() -> None:
    model = RECORDED.model
    assert {(fit.mode, fit.regime) for fit in model.fits} == {
        (mode, regime)
        for mode in ("routed", "channel", "broadcast", "routed-delivered")
        for regime in ("full", "rate")
    }
    assert all(fit.error < 0.25 for fit in model.fits)


def test_the_model_follows_from_the_cells_and_the_background() -> None:
    model = RECORDED.model
    assert fit_model(RECORDED.cells, model.background, USERS, 128) == model


def test_in_a_recorded_run_broadcast_is_dearer_on_many_nodes() -> None:
    nodes = {(one.mode, one.regime): one.nodes for one in RECORDED.model.crossings}
    from_rate, from_full = nodes["broadcast", "rate"], nodes["broadcast", "full"]
    assert from_rate is not None
    assert from_full is not None
    assert from_rate <= 8
    assert from_full <= 32
