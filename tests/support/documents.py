"""The documents as their tests read them: fences, tables, links, headings. Pure."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_FENCE: Final = re.compile(r"^```(?P<language>[a-z]*) ?(?P<terminal>[a-z0-9-]*)$")
_LINK: Final = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING: Final = re.compile(r"^#{1,6} (?P<title>.+)$", re.MULTILINE)
_CODE: Final = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Fence:
    """One fenced block.

    Args:
        language: the first word behind the backticks.
        terminal: the second one: which terminal a console block shows; "" for the one where
            commands run to their end.
        lines: what it holds.
        at: line number of its first line, for failures.
    """

    language: str
    terminal: str
    lines: tuple[str, ...]
    at: int

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its headings, and its rows cell by cell."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, heading: str) -> list[str]:
        """Return the cells under a heading."""
        index = self.header.index(heading)
        return [row[index] for row in self.rows]


@dataclass(frozen=True, slots=True)
class Document:
    """One Markdown file.

    Args:
        path: where it is.
        text: what it holds.
    """

    path: Path
    text: str

    @property
    def name(self) -> str:
        """Return its path from the root of the checkout."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def fences(self) -> list[Fence]:
        """Return the fenced blocks in order."""
        found: list[Fence] = []
        opened: tuple[str, str, int] | None = None
        lines: list[str] = []
        for number, line in enumerate(self.text.splitlines(), start=1):
            if opened is None:
                if line.startswith("```"):
                    match = _FENCE.match(line)
                    assert match is not None, f"{self.name}:{number}: {line}"
                    opened, lines = (match["language"], match["terminal"], number + 1), []
            elif line == "```":
                found.append(Fence(opened[0], opened[1], tuple(lines), opened[2]))
                opened = None
            else:
                lines.append(line)
        assert opened is None, f"{self.name}: the fence of line {opened} does not end"
        return found

    @property
    def prose(self) -> str:
        """Return the text without its fenced blocks and comments."""
        kept: list[str] = []
        inside = False
        for line in self.text.splitlines():
            if line.startswith("```"):
                inside = not inside
            elif not inside:
                kept.append(line)
        return re.sub(r"<!--.*?-->", "", "\n".join(kept), flags=re.DOTALL)

    @property
    def links(self) -> list[str]:
        """Return where its links and images lead."""
        return [match["target"] for match in _LINK.finditer(self.prose)]

    @property
    def anchors(self) -> set[str]:
        """Return the fragments by which its headings can be named, as code hosts make them."""
        return {_slug(match["title"]) for match in _HEADING.finditer(self.prose)}

    @property
    def words_in_code(self) -> list[str]:
        """Return what stands between single backticks outside of fences."""
        return _CODE.findall(self.prose)

    @property
    def tables(self) -> list[Table]:
        """Return its tables in order."""
        return _tables(self.prose)

    def table(self, *header: str) -> Table:
        """Return the table with exactly these headings; there must be one."""
        found = [table for table in self.tables if table.header == header]
        assert len(found) == 1, f"{self.name} has {len(found)} tables headed {header}"
        return found[0]

    def section(self, title: str) -> str:
        """Return what stands under a heading, to the next heading of any level."""
        parts = re.split(r"^#{1,6} (.+)$", self.prose, flags=re.MULTILINE)
        bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
        assert title in bodies, f"{self.name} has no section '{title}'"
        return bodies[title]


def read(name: str) -> Document:
    """Return the document at a path from the root of the checkout."""
    path = ROOT / name
    return Document(path, path.read_text(encoding="utf-8"))


def documents() -> list[Document]:
    """Return every document of the project, the decisions included."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [read(file.relative_to(ROOT).as_posix()) for file in sorted(files)]


def code_in(cell: str) -> list[str]:
    """Return what stands in backticks in a cell."""
    return _CODE.findall(cell)


def _slug(title: str) -> str:
    plain = re.sub(r"[^\w\- ]", "", title.lower())
    return plain.strip().replace(" ", "-")


def _tables(prose: str) -> list[Table]:
    found: list[Table] = []
    block: list[tuple[str, ...]] = []
    for line in [*prose.splitlines(), ""]:
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            block.append(tuple(cell.strip().replace("\\|", "|") for cell in cells))
        elif block:
            assert set("".join(block[1])) <= set("-: "), block[0]
            assert all(len(row) == len(block[0]) for row in block), f"ragged: {block[0]}"
            found.append(Table(block[0], tuple(block[2:])))
            block = []
    return found
