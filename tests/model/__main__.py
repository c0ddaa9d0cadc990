"""The command line of the model.

`python -m tests.model`             every configuration that CI runs
`python -m tests.model --all`       every configuration, then every mutant
`python -m tests.model NAME [MUTANT[,MUTANT]]`  one of them; a fault is shown step by step
"""

import argparse
import sys
from collections.abc import Sequence

from tests.model.configurations import CONFIGURATIONS, QUICK
from tests.model.mutants import MUTANTS
from tests.model.search import Found, search
from tests.model.state import Step


def main(arguments: Sequence[str]) -> int:
    """Explore; return 0 when everything is as it should be."""
    options = _options(arguments)
    if options.name:
        broken = frozenset(options.mutant.split(",") if options.mutant else ())
        found = _explore(options.name, broken, options.seconds)
        _show(found)
        return int(bool(found.fault))
    names = list(CONFIGURATIONS) if options.all else list(QUICK)
    wrong = [name for name in names if _explore(name, frozenset(), options.seconds).fault]
    if options.all:
        wrong += [mutant for mutant in MUTANTS if not _caught(mutant, options.seconds)]
    print("unexpected: " + ", ".join(wrong) if wrong else "all as expected")
    return int(bool(wrong))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", nargs="?", choices=[*CONFIGURATIONS], metavar="NAME")
    parser.add_argument("mutant", nargs="?", metavar="MUTANT")
    parser.add_argument("--all", action="store_true", help="everything; takes many minutes")
    parser.add_argument("--seconds", type=float, default=600.0, help="give up after so long (600)")
    options = parser.parse_args(arguments)
    known = {name for mutant in MUTANTS for name in mutant.split(",")}
    strange = set((options.mutant or "").split(",")) - known - {""}
    if strange:
        parser.error(
            f"no such mutant: {', '.join(sorted(strange))}; tests/model/mutants.py has all"
        )
    return options


def _caught(mutant: str, seconds: float) -> bool:
    return any(
        _explore(name, frozenset(mutant.split(",")), seconds).fault for name in MUTANTS[mutant]
    )


def _explore(name: str, broken: frozenset[str], seconds: float) -> Found:
    found = search(CONFIGURATIONS[name], broken, most_seconds=seconds, tell=_tell)
    _clear()
    verdict = found.fault or ("OK" if found.exhausted else "OK so far, not exhausted")
    what = ",".join(sorted(broken)) or "-"
    print(
        f"{name:17}{what:30}{found.states:>9} states{found.seconds:8.1f} s  {verdict}", flush=True
    )
    return found


def _tell(states: int, waiting: int, seconds: float) -> None:
    if sys.stderr.isatty():
        print(f"\r{states} states, {waiting} waiting, {seconds:.0f} s ", end="", file=sys.stderr)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)


def _show(found: Found) -> None:
    for number, step in enumerate(found.trace, 1):
        print(f"{number:4} {_words(step)}")
    if found.rest:
        print("     then, without another fault:")
    for number, step in enumerate(found.rest, len(found.trace) + 1):
        print(f"{number:4} {_words(step)}")


def _words(step: Step) -> str:
    name, *about = step
    return f"{name}: {' '.join(str(each) for each in about)}" if about else str(name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
