"""docs/architecture.md and .importlinter tell the same of the house."""

import configparser
import re

import pytest

from tests.support.documents import ROOT, Table, code_in, read

HOUSE = read("docs/architecture.md")
LINTER = configparser.ConfigParser()
LINTER.read(ROOT / ".importlinter")
TABLES = [table for table in HOUSE.tables if table.header == ("module", "", "what lives there")]
PACKAGES = [
    "router",
    "router.settings",
    "router.client",
    "router.transport",
    "router.store",
    "node",
    "node.auth",
    "node.observe",
    "node.checks",
    "node.handlers",
    "node.cli",
]


def exists(module: str) -> bool:
    path = ROOT / module.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def floors_of(package: str) -> list[str]:
    """Return the modules of a package from the top floor down, those of one floor as listed."""
    contract = next(LINTER[name] for name in LINTER.sections() if is_about(name, package))
    names = re.findall(r"\w+", contract["layers"])
    return [name for name in names if exists(f"{package}.{name}")]


def is_about(section: str, package: str) -> bool:
    return LINTER[section].get("containers", "").split() == [package]


@pytest.mark.parametrize(
    ("package", "table"), list(zip(PACKAGES, TABLES, strict=True)), ids=PACKAGES
)
class TestFloors:
    def test_every_module_is_told_on_its_floor(self, package: str, table: Table) -> None:
        assert [code_in(cell)[0] for cell in table.column("module")] == floors_of(package)

    def test_the_pure_ones_are_marked(self, package: str, table: Table) -> None:
        marked = {f"{package}.{code_in(row[0])[0]}" for row in table.rows if row[1] == "P"}
        pure = LINTER["importlinter:contract:pure"]["source_modules"].split()
        assert marked == {name for name in pure if name.rpartition(".")[0] == package}


def test_every_package_with_floors_has_its_table() -> None:
    containers = " ".join(LINTER[name].get("containers", "") for name in LINTER.sections())
    assert sorted(containers.split()) == sorted(PACKAGES)


def test_every_hard_choice_is_named() -> None:
    for path in sorted((ROOT / "docs" / "adr").glob("*.md")):
        number, _, title = path.read_text().partition("\n")[0].removeprefix("# ").partition(". ")
        assert f"- [{number}. {title}](adr/{path.name})" in HOUSE.text
