import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "scripts.benchmark"]


def test_a_quick_run_measures_every_regime_and_loses_nothing(tmp_path: Path) -> None:
    run = subprocess.run(
        [*COMMAND, "--quick", "--modes", "channel,delivered", "--json", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found == json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert "delivered" in (tmp_path / "table.txt").read_text(encoding="utf-8")
    assert {(cell["mode"], cell["regime"], cell["outstanding"]) for cell in found["cells"]} == {
        (mode, regime, outstanding)
        for mode in ("channel", "delivered")
        for regime, outstanding in (("full", 256), ("full", 128), ("rate", 0))
    }
    for cell in found["cells"]:
        assert (cell["lost"], cell["doubled"], cell["misdelivered"]) == (0, 0, 0)
        assert 0 < cell["p50_ms"] <= cell["p99_ms"]
        assert min(cell["cpu_nodes"], cell["cpu_store"], cell["store_commands"]) > 0


@pytest.mark.parametrize(
    "wrong", [["--nodes", "0"], ["--modes", "fanout"], ["--size", "1"], ["--repeats", "x"]]
)
def test_wrong_options_are_usage_errors(wrong: list[str]) -> None:
    run = subprocess.run([*COMMAND, *wrong], cwd=ROOT, capture_output=True, check=False)
    assert run.returncode == 2


def test_help_has_an_example() -> None:
    run = subprocess.run(
        [*COMMAND, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0
    assert "scripts/bench --nodes" in run.stdout
