"""What a document shows of a terminal, against what a terminal really said. Pure.

What differs from run to run (ids, times, process ids, ports of the store) is not compared; where a
later command names such a thing, it gets this run's.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

FIRST_PORT: Final = 8001
PORTS: Final = 9
_ESCAPES: Final = re.compile(r"\x1b(?:[78]|\[[0-9;?]*[A-Za-z])|\r")
_PORT: Final = re.compile(r"\b800([1-9])\b")
_VARIABLE: Final = re.compile(
    r"""
      (?P<time>\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?)
    | (?P<epoch>\b1[5-9]\d{8}\.\d+\b)
    | (?P<id>\b(?=[0-9a-f]*\d)[0-9a-f]{10,}\b)
    | (?<=process\ )(?P<pid>\d+)
    | (?<="pid":)(?P<json_pid>\d+)
    | (?<="reconnect_after_ms":)(?P<spread>\d+)
    | (?<=127\.0\.0\.1:)(?P<port>\d{4,5})\b
    | (?<![\w.])(?P<number>\d+\.\d+)(?![\w.])
    """,
    re.VERBOSE,
)
_NAMES: Final = ("id", "pid", "json_pid")  # what a later command may name
# In the table of nodes the process id stands behind the endpoint.
_PID_COLUMN: Final = re.compile(r"(?<=\.<id>) (\d+)(?= 127)")


def plain(line: str) -> str:
    """Return a line as it looks on the screen, runs of blanks as one; JSON in the order of keys."""
    line = " ".join(_ESCAPES.sub("", line).split())
    before, brace, _ = line.partition("{")
    try:
        value = json.loads(line[len(before) :])
    except ValueError:
        return line
    return before + json.dumps(value, sort_keys=True, separators=(",", ":")) if brace else line


def is_content(line: str) -> bool:
    """Say whether a line is more than white space and the rules of a table."""
    return bool(plain(line).strip("─ "))


def shape(line: str) -> tuple[str, list[tuple[str, str]]]:
    """Return a line without what differs from run to run; and that, with its kind, in order."""
    variable: list[tuple[str, str]] = []

    def put_apart(match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        if kind == "port" and _PORT.fullmatch(match[0]):
            return match[0]
        variable.append((kind, match[0]))
        return f"<{kind}>"

    def put_pid_apart(match: re.Match[str]) -> str:
        variable.append(("pid", match[1]))
        return " <pid>"

    fixed = _VARIABLE.sub(put_apart, plain(line))
    return _PID_COLUMN.sub(put_pid_apart, fixed), variable


@dataclass(slots=True)
class Names:
    """What the document calls things, and what they are called in this run.

    Args:
        first_port: of this run; the documents say 8001.
        bound: text of the document -> text of this run.
    """

    first_port: int
    bound: dict[str, str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """Return a command of the document with the names of this run."""
        text = _PORT.sub(lambda match: str(self.first_port + int(match[1]) - 1), text)
        for told, real in self.bound.items():
            text = re.sub(rf"(?<!\w){re.escape(told)}(?!\w)", real, text)
        return text

    def there(self, line: str) -> str:
        """Return a line of this run with the ports of the document."""
        for offset in range(PORTS):
            line = re.sub(rf"\b{self.first_port + offset}\b", str(FIRST_PORT + offset), line)
        return line

    def same(self, told: str, real: str) -> bool:
        """Say whether a line of this run is the one that is told; learn its names if it is."""
        told_shape, told_variable = shape(told)
        real_shape, real_variable = shape(self.there(real))
        if told_shape != real_shape:
            return False
        pairs = zip(told_variable, real_variable, strict=True)
        self.bound |= {name: here for (kind, name), (_, here) in pairs if kind in _NAMES}
        return True

    def all_same(self, told: Sequence[str], real: Sequence[str]) -> bool:
        """Say whether the output of a command is the one that is told, line by line.

        A told line `...` stands for any number of lines.
        """
        expected = [line for line in told if is_content(line)]
        actual = [line for line in real if is_content(line)]
        if "..." not in expected:
            return len(expected) == len(actual) and all(map(self.same, expected, actual))
        first = expected.index("...")
        last = len(expected) - first - 1
        return (
            len(actual) >= first + last
            and all(map(self.same, expected[:first], actual))
            and all(map(self.same, expected[first + 1 :], actual[len(actual) - last :]))
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done at a terminal, and what it shows.

    Args:
        kind: `run` a command, `type` a line into the running program, `see` what it says,
            `stop` it by Ctrl-C.
        text: the command or the line.
        shown: lines of output.
        at: line number in the document.
    """

    kind: str
    text: str
    shown: tuple[str, ...]
    at: int


def steps(lines: Sequence[str], at: int, *, stays: bool) -> list[Step]:
    """Return the steps of a console block.

    `$ ` begins a command. `> ` goes on with it, or, where a program stays, is typed into it. `^C`
    stops the program. Everything else is output.

    Args:
        lines: of the block.
        at: line number of the first.
        stays: whether this is a terminal in which a program stays.
    """
    found: list[Step] = []
    kind, text, begun = "see", "", at
    shown: list[str] = []

    def close() -> None:
        if kind != "see" or shown:
            found.append(Step(kind, text, tuple(shown), begun))

    for number, line in enumerate(lines, start=at):
        if line.startswith("$ ") or line == "^C" or (stays and line.startswith("> ")):
            close()
            kind = {"$": "run", "^": "stop", ">": "type"}[line[0]]
            text, shown, begun = line[2:], [], number
        elif line.startswith("> ") and kind == "run" and not shown:
            text += "\n" + line[2:]
        else:
            shown.append(line)
    close()
    return found


def first_missing(
    told: Sequence[str],
    real: Sequence[str],
    taken: set[int],
    same: Callable[[str, str], bool],
) -> str | None:
    """Return the first told line that is not among `real`; None when all are there.

    The order does not matter: several processes write to one terminal.

    Args:
        told: what the document shows.
        real: what was said so far.
        taken: indices of the real lines that were told before; those told now are added when all
            are there.
        same: compares a told line with a real one.
    """
    fresh = set(taken)
    for line in told:
        if not is_content(line) or line == "...":
            continue
        found = (i for i, other in enumerate(real) if i not in fresh and same(line, other))
        index = next(found, None)
        if index is None:
            return line
        fresh.add(index)
    taken |= fresh
    return None
