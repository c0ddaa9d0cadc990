"""The Dockerfile as its tests read it, step by step; and what .dockerignore lets through.

What Docker itself does of both is far more than this: only what our two files use is known here,
and anything else is refused, so nothing is silently passed over.
"""

import fnmatch
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_KNOWN: Final = {
    *("FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "STOPSIGNAL"),
    *("HEALTHCHECK", "ENTRYPOINT", "CMD"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: its word, and what follows on the same line, continuations joined."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        """Return what follows, split at white space."""
        return self.rest.split()

    @property
    def command(self) -> list[str]:
        """Return the command in exec form; fail if it is in the form for a shell."""
        found = json.loads(self.rest[self.rest.index("[") :])
        assert all(isinstance(word, str) for word in found)
        return list(found)


def stages(text: str) -> list[list[Step]]:
    """Return the stages of a Dockerfile, each beginning with its FROM."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found: list[list[Step]] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.partition(" ")
        assert word in _KNOWN, f"the tests do not know {word}"
        if word == "FROM":
            found.append([])
        found[-1].append(Step(word, rest))
    return found


def one(steps: list[Step], word: str) -> Step:
    """Return the only step of a kind."""
    (found,) = (step for step in steps if step.word == word)
    return found


def environment(steps: list[Step]) -> dict[str, str]:
    """Return what the ENV of a stage sets, as it is written."""
    return dict(word.split("=", 1) for word in one(steps, "ENV").words)


def sent(root: Path, patterns: str) -> Iterator[Path]:
    """Return the files that go to the builder, relative to `root`: the last pattern decides.

    Args:
        root: the folder with the Dockerfile.
        patterns: text of .dockerignore.
    """
    rules = [line for line in patterns.splitlines() if line and not line.startswith("#")]
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not _ignored(name, rules):
            yield Path(name)


def _ignored(name: str, rules: list[str]) -> bool:
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        if any(_matches(part, pattern) for part in _prefixes(name)):
            ignored = not rule.startswith("!")
    return ignored


def _prefixes(name: str) -> list[str]:
    """Return a path and the folders above it: who ignores a folder ignores what is in it."""
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _matches(name: str, pattern: str) -> bool:
    anywhere = pattern.startswith("**/")
    simple = pattern.removeprefix("**/")
    assert "**" not in simple
    assert "*" not in simple or "/" not in simple, f"the tests do not know {pattern}"
    if anywhere:
        return fnmatch.fnmatchcase(name.rsplit("/", 1)[-1], simple)
    if "*" in simple:
        return "/" not in name and fnmatch.fnmatchcase(name, simple)
    return name == simple
