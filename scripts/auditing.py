"""What can be said of our requirements without a network: `scripts/audit` says the rest.

Every package stands in a list with one exact version, from the index and from nowhere else. What
is installed is what the lists name, and each has what it needs.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
# What makes a .venv, and what we are ourselves.
_OURS: Final = frozenset({"pip", "setuptools", "wheel", "switchboard"})


class Pin(NamedTuple):
    """One line of a list."""

    place: str
    requirement: Requirement

    @property
    def name(self) -> str:
        """Return the package's name, as the index compares names."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        """Return the version it is pinned to; "" for none."""
        given = list(self.requirement.specifier)
        exact = len(given) == 1 and given[0].operator == "==" and "*" not in given[0].version
        return given[0].version if exact else ""


def read(files: Iterable[Path]) -> tuple[list[Pin], list[str]]:
    """Return the pins in some lists, and what is wrong with those that are none."""
    pins, wrong = [], []
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            text = re.sub(r"(^|\s)#.*", "", line).strip()
            place = f"{file.name}:{number}"
            if not text or text.startswith("-r "):
                continue
            try:
                pin = Pin(place, Requirement(text))
            except InvalidRequirement:
                wrong.append(f"{place}: '{text}' is no package with a version: write name==1.2.3")
                continue
            if pin.requirement.url or not pin.version:
                wrong.append(f"{place}: {pin.requirement.name} has no exact version: write ==")
            else:
                pins.append(pin)
    return pins, wrong


def twice(pins: Iterable[Pin]) -> Iterator[str]:
    """Find packages that are pinned more than once."""
    places: dict[str, str] = {}
    for pin in pins:
        if pin.name in places:
            yield f"{pin.place}: {pin.name} stands in {places[pin.name]} already"
        places.setdefault(pin.name, pin.place)


def differing(pins: Iterable[Pin], installed: Mapping[str, str]) -> Iterator[str]:
    """Find what is installed and not listed, or the other way round.

    Args:
        pins: of all lists.
        installed: name -> version.
    """
    wanted = {
        pin.name: pin.version
        for pin in pins
        if pin.requirement.marker is None or pin.requirement.marker.evaluate()
    }
    for name in sorted(wanted.keys() | installed.keys() - _OURS):
        here, listed = installed.get(name), wanted.get(name)
        if listed is None:
            yield f"{name} {here} is installed and stands in no list"
        elif here is None:
            yield f"{name} {listed} is listed and not installed"
        elif here != listed:
            yield f"{name} {here} is installed, and {listed} is listed"


def lacking(distributions: Iterable[metadata.Distribution]) -> Iterator[str]:
    """Find packages that need another version of something, or something that is not there."""
    found = list(distributions)
    installed = {canonicalize_name(each.name): each.version for each in found}
    for each in found:
        for text in each.requires or ():
            needed = Requirement(text)
            if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
                continue
            here = installed.get(canonicalize_name(needed.name))
            if here is None:
                yield f"{each.name} needs {needed.name}, which is not installed"
            elif not needed.specifier.contains(here, prereleases=True):
                yield f"{each.name} needs {needed}, and {here} is installed"


def main() -> int:
    """Look; return 0 when all is well."""
    pins, wrong = read(sorted(ROOT.glob("requirements*.txt")))
    here = [each for each in metadata.distributions() if each.name]
    installed = {str(canonicalize_name(each.name)): each.version for each in here}
    apart = [pin for pin in pins if not pin.place.startswith("requirements-audit.")]
    wrong += [*twice(apart), *differing(apart, installed), *lacking(here)]
    for each in wrong:
        print(each, file=sys.stderr)
    print(f"{len(pins)} requirements: " + (f"{len(wrong)} wrong" if wrong else "each is exact"))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
