import xml.etree.ElementTree as ET

import pytest

from scripts.comparison.chart import Chart, Point, Scale, Series, nice_step, number, svg, ticks_of
from scripts.comparison.plots import charts
from tests.support.comparison import RECORDED

NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_places_are_in_proportion() -> None:
    scale = Scale(0, 10, 100, 200, logarithmic=False)
    assert [scale.place(value) for value in (0, 5, 10)] == [100, 150, 200]


def test_logarithmic_places_are_in_proportion_of_ratios() -> None:
    scale = Scale(1, 100, 0, 200, logarithmic=True)
    assert [scale.place(value) for value in (1, 10, 100)] == [0, 100, 200]


@pytest.mark.parametrize(("span", "step"), [(10, 2), (1, 0.2), (4, 1), (60_000, 20_000)])
def test_ticks_are_round(span: float, step: float) -> None:
    assert nice_step(span) == pytest.approx(step)


def test_ticks_stay_on_the_axis() -> None:
    assert ticks_of(0, 4, logarithmic=False) == [0, 1, 2, 3, 4]
    assert ticks_of(1, 1000, logarithmic=True) == [1, 10, 100, 1000]


def test_numbers_are_short() -> None:
    assert [number(n) for n in (0, 0.1234, 12.0, 60_000)] == ["0", "0.123", "12", "60,000"]


def test_names_are_escaped() -> None:
    point = Point(1, 1, 1, 1)
    chart = Chart("x", "a < b & c", "x", "y", [Series("<script>", "mode-other", [point])])
    drawn = ET.fromstring(svg(chart))
    assert drawn.get("aria-label") == "a < b & c"


def test_every_chart_of_a_recorded_run_is_drawn_inside_its_picture() -> None:
    found = charts(RECORDED)
    assert {"cpu-rate", "cpu-full", "model-rate", "model-full", "wasted"} <= {c.name for c in found}
    for chart in found:
        drawn = ET.fromstring(svg(chart))
        dots = drawn.findall(f".//{NAMESPACE}circle")
        assert len(dots) == sum(len(series.points) for series in chart.series)
        for dot in dots:
            assert 0 <= float(dot.get("cx", "")) <= 620
            assert 0 <= float(dot.get("cy", "")) <= 360


def test_a_chart_of_zeros_can_be_drawn() -> None:
    chart = Chart("x", "t", "x", "y", [Series("routed", "mode-routed", [Point(1, 0, 0, 0)])])
    assert ET.fromstring(svg(chart)).tag == f"{NAMESPACE}svg"
