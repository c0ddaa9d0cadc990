"""Both engines, one after the other, and their results as one."""

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz import by_hypothesis
from tests.fuzz.targets import TARGETS
from tests.fuzz.watching import Finding, Watch, check_growth
from tests.support.documents import ROOT

_FEWEST: Final = 1_000
_TAIL: Final = 4_000


@dataclass(frozen=True, slots=True)
class Report:
    """What a run without a finding was.

    Args:
        inputs: how many, for each target.
        slowest_s: CPU time of the slowest.
        grown_bytes: most that memory grew for one target; see `growth`.
    """

    inputs: Counter[str]
    slowest_s: float
    grown_bytes: int


def has_atheris() -> bool:
    """Say whether the second engine is here: its wheels are for some Pythons on Linux only."""
    return importlib.util.find_spec("atheris") is not None


def run(count: int, seed: int, folder: Path, told: Callable[[int], None]) -> Report:
    """Run `count` inputs, half of them by each engine.

    Args:
        count, seed: of the inputs.
        folder: takes what atheris writes.
        told: called with how many were run since it was called last.

    Raises:
        Finding: of whichever engine.
    """
    by_coverage = count // 2 if has_atheris() else 0
    watch = Watch()
    by_hypothesis.explore(count - by_coverage, seed, watch, told)
    each = max(_FEWEST, count // 50)
    grown = max(check_growth(target, each) for target in TARGETS.values())
    slowest_s = watch.slowest_s
    if by_coverage:
        others, slowest_there_s = _run_atheris(by_coverage, seed, folder, told)
        watch.inputs.update(others)
        slowest_s = max(slowest_s, slowest_there_s)
    return Report(watch.inputs, slowest_s, grown)


def _run_atheris(
    count: int, seed: int, folder: Path, told: Callable[[int], None]
) -> tuple[Counter[str], float]:
    # libFuzzer takes no seed of 0, and none over 32 bits.
    command = [sys.executable, "-m", "tests.fuzz.by_atheris", str(count), str(seed % 2**31 or 1)]
    log = folder / "atheris.log"
    inputs: Counter[str] = Counter()
    slowest_s = 0.0
    with (
        log.open("w") as noise,
        subprocess.Popen(
            [*command, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, stderr=noise, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            told(sum(said["inputs"].values()) - inputs.total())
            inputs, slowest_s = Counter(said["inputs"]), said["slowest_s"]
            if "file" in said:
                path = Path(said["file"])
                name = path.stem.rpartition("-")[0]
                raise Finding(name, path.read_bytes(), said["finding"])
    if process.returncode != 0 or inputs.total() != count:
        raise AssertionError(
            f"atheris ended with {process.returncode} after {inputs.total()} inputs: "
            f"{log.read_text()[-_TAIL:]}"
        )
    return inputs, slowest_s
