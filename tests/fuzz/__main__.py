"""The command line of the fuzzing.

`python -m tests.fuzz [--inputs 1000000] [--seed S]`  both engines, half of the inputs each
`python -m tests.fuzz --replay FILE`                  one finding again, by the target in its name

A finding is written to `--out` (default: a new folder, named at the end).
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.fuzz.running import has_atheris, run
from tests.fuzz.targets import TARGETS
from tests.fuzz.watching import Finding, Watch


def main(arguments: Sequence[str]) -> int:
    """Run; return 0 when nothing was found."""
    options = _options(arguments)
    if options.replay is not None:
        return _replay(options.replay)
    folder = options.out or Path(tempfile.mkdtemp(prefix="switchboard-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    seed = options.seed if options.seed is not None else time.time_ns() % 2**31
    engines = "hypothesis and atheris" if has_atheris() else "hypothesis alone: no atheris here"
    print(f"{options.inputs:,} inputs, seed {seed}, {engines}", flush=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    began = time.monotonic()
    try:
        with Progress(*columns, TimeRemainingColumn()) as progress:
            bar = progress.add_task("inputs", total=options.inputs)
            report = run(options.inputs, seed, folder, lambda n: progress.advance(bar, n))
    except Finding as exc:
        path = exc.save(folder)
        print(f"found: {exc}\nagain: python -m tests.fuzz --replay {path}")
        return 1
    for name, count in sorted(report.inputs.items()):
        print(f"{name:>16} {count:>10,}")
    print(
        f"nothing found in {sum(report.inputs.values()):,} inputs and "
        f"{time.monotonic() - began:.0f} s; the slowest took {report.slowest_s * 1000:.1f} ms; "
        f"memory grew by {report.grown_bytes:,} bytes at most"
    )
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many (1000000)")
    parser.add_argument("--seed", type=int, help="same seed, same inputs; else one by the clock")
    parser.add_argument("--out", type=Path, help="folder for findings")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input again")
    return parser.parse_args(arguments)


def _replay(path: Path) -> int:
    target = TARGETS[path.stem.rpartition("-")[0]]
    try:
        Watch().run(target, path.read_bytes())
    except Finding as exc:
        print(f"found: {exc}")
        raise
    print("nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
