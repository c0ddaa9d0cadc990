"""What the README shows without running it here is what those programs print."""

from router.model import Outcome
from scripts.demo_scene import STEPS
from tests.support.documents import read

README = read("README.md")


def test_the_scene_is_told_as_it_is_played() -> None:
    told = [line[2:] for fence in README.fences for line in fence.lines if line[:2] == "✓ "]
    first, *acts, last = told
    assert acts == [name for name, _ in STEPS]
    assert (first, last) == ("a private store and two nodes are up", "everything stops in order")


def test_every_outcome_it_names_is_one() -> None:
    outcomes = {outcome.value for outcome in Outcome}
    shown = {line.partition(":")[0] for fence in README.fences for line in fence.lines}
    assert {"delivered", "offline", "unknown"} <= shown & outcomes


def test_the_places_for_figures_is_there_once() -> None:
    assert README.text.count("<!-- figures -->") == 1
