"""The tables of docs/scaling.md.

`python -m scripts.benchmark.scale.paper` writes them into the page, from the newest results in
docs/figures.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from scripts.benchmark.scale.reckoning import (
    Constants,
    Pair,
    Size,
    broadcast,
    constants,
    routed,
    upkeep,
)

USERS: Final = (1_000_000, 10_000_000, 100_000_000)
PER_MINUTE: Final = (0.1, 1.0)


def tables(c: Constants) -> dict[str, str]:
    """Return the tables of docs/scaling.md, by name."""
    sizes = [Size(users, per_minute) for users in USERS for per_minute in PER_MINUTE]
    found = {"constants": _of_constants(c), "sizes": _of_sizes(c, sizes), "upkeep": _of_upkeep(c)}
    return {name: "\n".join(lines) for name, lines in found.items()}


def _of_constants(c: Constants) -> Iterator[str]:
    yield "| measured | together | alone |"
    yield "| --- | --- | --- |"
    for name, pair in (
        ("CPU of both nodes for a routed message, µs", c.routed_node_us),
        ("CPU of the store for a routed message, µs", c.routed_store_us),
        ("bytes into and out of the store for it", c.routed_bytes),
        ("CPU of each node for a broadcast message, µs", c.heard_us),
        ("CPU of the store for each copy of it, µs", c.copy_us),
    ):
        yield f"| {name} | {_n(pair.together)} | {_n(pair.alone)} |"
    for name, value in (
        ("bytes out of the store for each copy of it", c.copy_bytes),
        ("memory of the store for a user online, bytes", c.user_bytes),
        ("memory of a node for a session, KiB", c.session_kib),
        ("sessions on one node", c.sessions),
        ("CPU of the store for a session refreshed, µs", c.refresh_us),
        ("CPU of the store for a heartbeat, µs", c.heartbeat_us),
        ("CPU of the store for a look for dead nodes, µs", c.look_us),
    ):
        yield f"| {name} | {_n(value)} | |"


def _of_sizes(c: Constants, sizes: Sequence[Size]) -> Iterator[str]:
    yield (
        "| users online | messages per user and minute | messages/s | nodes | | a node's core "
        "| cores of the store | masters | bytes/s of the store |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for size in sizes:
        for name, needs in (("routed", routed(c, size)), ("broadcast", broadcast(c, size))):
            low, high = needs.shards
            masters = "one server" if name == "broadcast" else _range(low, high)
            load = f"{size.users:,} | {size.per_minute:g} | {size.per_second:,.0f}"
            yield (
                f"| {load} | {needs.nodes:,} | {name} | {_percent(needs.node_cores)} "
                f"| {_both(needs.store_cores)} | {masters} | {_bytes(needs.bytes_per_second)} |"
            )


def _of_upkeep(c: Constants) -> Iterator[str]:
    yield (
        "| users online | nodes | registry in the store | refreshes and heartbeats, cores "
        "| looking for dead nodes, cores |"
    )
    yield "| --- | --- | --- | --- | --- |"
    for users in USERS:
        nodes = math.ceil(users / c.sessions)
        steady, looks = upkeep(c, users, nodes)
        held = f"{_size(users * c.user_bytes)}B"
        yield f"| {users:,} | {nodes:,} | {held} | {_n(steady)} | {_n(looks)} |"


def _n(value: float) -> str:
    """Return a number with two significant digits, or whole."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} - {high:,}"


def _both(pair: Pair) -> str:
    return f"{_n(pair.together)} - {_n(pair.alone)}"


def _percent(pair: Pair) -> str:
    return f"{_n(pair.together * 100)} - {_n(pair.alone * 100)} %"


def _bytes(pair: Pair) -> str:
    low, high = _size(pair.together), _size(pair.alone)
    return f"{low}B" if low == high else f"{low}B - {high}B"


def _size(value: float) -> str:
    for unit in ("", "k", "M", "G", "T"):
        if value < 1000 or unit == "T":
            return f"{_n(value)} {unit}"
        value /= 1000
    raise AssertionError("the last unit takes all")


# ---- the page ---------------------------------------------------------------------------------


def filled(page: str, found: dict[str, str]) -> str:
    """Return a page with each table in its place, between two comments that name it.

    Raises:
        LookupError: the page has no place for one of them.
    """
    for name, table in found.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        page, count = place.subn(lambda m, table=table: f"{m[1]}\n{table}\n\n{m[2]}", page)  # type: ignore[misc]
        if count != 1:
            raise LookupError(f"the page has {count} places for {name}")
    return page


def newest(folder: Path) -> Constants:
    """Return the constants in the newest results of a folder, by their dates."""
    scale, comparison = (
        json.loads(max(folder.glob(f"*-{kind}.json")).read_text(encoding="utf-8"))
        for kind in ("scale", "compare")
    )
    return constants(scale, comparison)


def main() -> None:
    """Write the tables into the page."""
    docs = Path(__file__).resolve().parents[3] / "docs"
    page = docs / "scaling.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(filled(text, tables(newest(docs / "figures"))), encoding="utf-8")


if __name__ == "__main__":
    main()
