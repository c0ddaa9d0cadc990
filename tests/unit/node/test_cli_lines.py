"""Lines of standard input: bounded, in order, and never in the way of the event loop."""

import asyncio
import io
import os
import threading
from typing import BinaryIO

import pytest

from node.cli.lines import Line, Lines, read_line
from router.errors import InvalidRequest, TooLarge

LIMIT = 8


def lines_of(text: bytes) -> list[Line]:
    source = io.BytesIO(text)
    found = []
    while (line := read_line(source, LIMIT)) is not None:
        found.append(line)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\n\r\nb\n", [b"a", b"", b"b"]),
        (b"12345678\n12345678\r\n12345678", [b"12345678"] * 3),
        (b"\n", [b""]),
    ],
)
def test_lines_come_without_their_ends(text: bytes, expected: list[bytes]) -> None:
    assert lines_of(text) == expected


@pytest.mark.parametrize("size", [9, 10, 11, 19, 20, 21, 100])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_that_is_too_long_is_measured_and_left_behind(size: int, end: bytes) -> None:
    found = lines_of(b"x" * size + end + (b"next" if end else b""))
    first = found[0]
    assert isinstance(first, TooLarge)
    assert (first.size_bytes, first.limit_bytes, first.field) == (size, LIMIT, "data")
    assert found[1:] == ([b"next"] if end else [])


async def every(lines: Lines) -> list[Line]:
    found = []
    while (line := await lines.next()) is not None:
        found.append(line)
    return found


def test_more_lines_than_are_read_ahead_come_in_their_order() -> None:
    text = b"".join(b"%d\n" % number for number in range(1_000))

    async def scene() -> list[Line]:
        return await every(Lines(lambda: io.BytesIO(text), LIMIT))

    assert asyncio.run(scene()) == [b"%d" % number for number in range(1_000)]


def test_a_source_that_cannot_be_opened_is_an_error_in_words() -> None:
    def broken() -> BinaryIO:
        raise OSError(9, "Bad file descriptor")

    async def scene() -> None:
        await Lines(broken, LIMIT).next()

    with pytest.raises(InvalidRequest, match="Bad file descriptor"):
        asyncio.run(scene())


def test_the_loop_may_end_while_the_source_still_waits() -> None:
    reading, writing = os.pipe()

    async def scene() -> Line | None:
        lines = Lines(lambda: os.fdopen(reading, "rb"), LIMIT)
        os.write(writing, b"first\n")
        return await lines.next()

    assert asyncio.run(scene()) == b"first"
    [pump] = [thread for thread in threading.enumerate() if thread.name == "standard input"]
    os.write(writing, b"second\n")
    os.close(writing)
    pump.join(10)
    assert not pump.is_alive()
