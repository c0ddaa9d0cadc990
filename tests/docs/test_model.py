"""The page about the model tells of every file, configuration and mutant."""

from tests.model.configurations import CONFIGURATIONS
from tests.model.mutants import MUTANTS
from tests.support.documents import ROOT, code_in, read

PAGE = read("docs/model.md")


def test_every_file_is_told() -> None:
    told = {name for row in PAGE.table("file", "what is there").rows for name in code_in(row[0])}
    real = {path.name for path in (ROOT / "tests" / "model").glob("*.py")}
    assert told == {name for name in real if not name.startswith(("test_", "__"))}


def test_every_configuration_is_told() -> None:
    table = PAGE.table("configuration", "what happens in it", "states", "")
    assert [code_in(cell)[0] for cell in table.column("configuration")] == list(CONFIGURATIONS)


def test_every_mutant_is_told_and_counted() -> None:
    told = [code_in(row[0]) for row in PAGE.table("mutant", "what is left out").rows]
    assert [",".join(names) for names in told] == list(MUTANTS)
    assert f"Each of its {len(MUTANTS)} mutants" in PAGE.prose
