"""Our requirements are exact, and scripts/audit notices when they are not."""

from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scripts.auditing import ROOT, Pin, differing, lacking, read, twice


def pins_of(folder: Path, *lines: str) -> tuple[list[Pin], list[str]]:
    file = folder / "requirements.txt"
    file.write_text("\n".join(lines))
    return read([file])


def test_every_package_we_name_has_one_exact_version() -> None:
    pins, wrong = read(sorted(ROOT.glob("requirements*.txt")))
    assert len(pins) > 50
    assert wrong == []
    audit = "requirements-audit.txt"
    assert list(twice(pin for pin in pins if not pin.place.startswith(audit))) == []
    versions: dict[str, set[str]] = {}
    for pin in pins:
        versions.setdefault(pin.name, set()).add(pin.version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_comments_and_other_lists_are_no_packages(tmp_path: Path) -> None:
    pins, wrong = pins_of(
        tmp_path, "# words", "", "-r other.txt", "A.b==1.0  # why", 'c==2; os_name == "nt"'
    )
    assert [(pin.name, pin.version) for pin in pins] == [("a-b", "1.0"), ("c", "2")]
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        *("a", "a>=1", "a==1.*", "a==1,<2", "a @ https://example.org/a.whl", "./a"),
        *("git+https://example.org/a", "--index-url https://example.org", "-e ."),
    ],
)
def test_what_is_not_exactly_one_version_of_the_index_is_named(tmp_path: Path, line: str) -> None:
    pins, wrong = pins_of(tmp_path, line)
    assert pins == []
    assert len(wrong) == 1
    assert wrong[0].startswith("requirements.txt:1: ")


def test_a_package_that_stands_in_two_places_is_named(tmp_path: Path) -> None:
    pins, _ = pins_of(tmp_path, "a==1", "A==1")
    assert list(twice(pins)) == ["requirements.txt:2: a stands in requirements.txt:1 already"]


def test_what_is_installed_and_what_is_listed_is_compared(tmp_path: Path) -> None:
    pins, _ = pins_of(tmp_path, "a==1", "b==1", "c==1", 'd==1; os_name == "nowhere"')
    found = list(differing(pins, {"a": "1", "b": "2", "x": "3", "pip": "9"}))
    assert found == [
        "b 2 is installed, and 1 is listed",
        "c 1 is listed and not installed",
        "x 3 is installed and stands in no list",
    ]


def test_what_a_package_needs_must_be_there() -> None:
    def package(name: str, version: str, *requires: str) -> metadata.Distribution:
        found: Any = SimpleNamespace(name=name, version=version, requires=list(requires))
        return cast(metadata.Distribution, found)

    found = [package("a", "1", "b>=2", "c", 'd; extra == "more"'), package("b", "1")]
    assert list(lacking(found)) == [
        "a needs b>=2, and 1 is installed",
        "a needs c, which is not installed",
    ]
