from pathlib import Path

import pytest

from scripts.comparison import figures
from scripts.comparison.figures import NoPlace, aims_markdown, insert, markdown
from scripts.comparison.origin import command, origin
from scripts.comparison.plots import charts
from tests.support.comparison import RECORDED

ROOT = Path(__file__).resolve().parents[3]
PAGE = "before\n<!-- compare:figures -->\nstale figures\n<!-- /compare -->\nbetween\n"
AIMS = "<!-- compare:aims -->\nstale figures\n<!-- /compare -->\nafter\n"


@pytest.fixture(autouse=True)
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.comparison.pictures.find_browser", lambda: None)


def test_what_stands_between_the_markers_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE + AIMS)
    insert(RECORDED, page, tmp_path / "figures")
    text = page.read_text()
    assert "stale figures" not in text
    assert text.startswith("before\n<!-- compare:figures -->\n")
    assert text.endswith("<!-- /compare -->\nafter\n")
    assert "<!-- /compare -->\nbetween\n<!-- compare:aims -->" in text


def test_inserting_again_changes_nothing(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE + AIMS)
    insert(RECORDED, page, tmp_path / "figures")
    before = page.read_text()
    insert(RECORDED, page, tmp_path / "figures")
    assert page.read_text() == before


def test_every_chart_that_is_shown_lies_where_the_page_looks_for_it(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text(PAGE)
    insert(RECORDED, page, tmp_path / "docs" / "figures")
    for chart in charts(RECORDED):
        assert f"(figures/{chart.name}.svg)" in page.read_text()
        assert (tmp_path / "docs" / "figures" / f"{chart.name}.svg").exists()


def test_a_page_without_a_place_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(NoPlace, match=r"page\.md"):
        insert(RECORDED, page, tmp_path / "figures")
    assert page.read_text() == "nothing"


def test_the_page_of_the_comparison_has_its_place() -> None:
    assert figures._PLACE.search((ROOT / "docs" / "comparison.md").read_text())


def test_figures_say_their_day_their_machine_and_what_repeats_them() -> None:
    said = origin(RECORDED)
    assert str(RECORDED.settings["began"])[:10] in said
    assert f"cpus {RECORDED.machine['cpus']}" in said
    assert f"`{command(RECORDED)}`" in said
    assert said in aims_markdown(RECORDED)
    assert said in markdown(RECORDED, "figures", charts(RECORDED))


def test_the_command_names_what_was_measured() -> None:
    said = command(RECORDED)
    nodes = ",".join(map(str, RECORDED.settings["nodes"]))
    assert f"--nodes {nodes} " in said
    assert f"--repeats {RECORDED.settings['repeats']}" in said


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    widths: set[int] = set()
    for line in [*markdown(RECORDED, "figures", ()).splitlines(), ""]:
        if line.startswith("|"):
            widths.add(line.count("|"))
        else:
            assert len(widths) < 2
            widths.clear()
