"""Bad inputs from good ones: what each engine does beside what it is good at itself."""

import json
import random
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tests.fuzz.targets import Target

MAX_BYTES: Final = 4_096
_MOST_CHANGES: Final = 5
_MOST_DEPTH: Final = 4
_NUMBERS: Final = (0, -1, 1.5, 2**53, 2**63, -(2**63), 2**64 - 1, 1e308, 5e-324, float("inf"))
_TEXTS: Final = (
    "",
    "bob",
    "ä\u2028",
    "a\x00b",
    "{x}",
    "1-0",
    "../..",
    "\r\nX: y",
    "%2f",
    "😀" * 40,
)


def mutate(target: Target, data: bytes, rng: random.Random) -> bytes:
    """Return `data`, or one of the target's samples, with a few changes."""
    changed = rng.choice(target.samples) if rng.random() < 0.3 else data
    for _ in range(rng.randint(1, _MOST_CHANGES)):
        changed = rng.choice(_CHANGES)(target, changed, rng)
    return changed[:MAX_BYTES]


def _cut(target: Target, data: bytes, rng: random.Random) -> bytes:
    begin, end = _range(data, rng)
    return data[:begin] + data[end:]


def _repeat(target: Target, data: bytes, rng: random.Random) -> bytes:
    begin, end = _range(data, rng)
    return data[:begin] + data[begin:end] * rng.choice((2, 3, 17, 200)) + data[end:]


def _overwrite(target: Target, data: bytes, rng: random.Random) -> bytes:
    if not data:
        return rng.randbytes(1)
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(1) + data[at + 1 :]


def _insert(target: Target, data: bytes, rng: random.Random) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.randbytes(rng.choice((1, 1, 2, 8, 64))) + data[at:]


def _word(target: Target, data: bytes, rng: random.Random) -> bytes:
    if not target.words:
        return data
    begin, end = _range(data, rng)
    return data[:begin] + rng.choice(target.words) + data[rng.choice((begin, end)) :]


def _splice(target: Target, data: bytes, rng: random.Random) -> bytes:
    other = rng.choice(target.samples)
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


def _value(target: Target, data: bytes, rng: random.Random) -> bytes:
    """Put a value where another one was, in one encoding or the other."""
    value = _any_value(rng, 0)
    try:
        encoded = msgspec.msgpack.encode(value) if rng.random() < 0.5 else _json(value)
    except (OverflowError, UnicodeEncodeError):
        return data
    begin, end = _range(data, rng)
    return data[:begin] + encoded + data[end:]


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _any_value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(4 if depth >= _MOST_DEPTH else 6)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind == 1:
        return rng.choice(_NUMBERS)
    if kind == 2:
        return rng.choice(_TEXTS)
    if kind == 3:
        return rng.randint(-(2**31), 2**31)
    inner = [_any_value(rng, depth + 1) for _ in range(rng.randrange(5))]
    return inner if kind == 4 else {rng.choice(_TEXTS): each for each in inner}


def _range(data: bytes, rng: random.Random) -> tuple[int, int]:
    begin = rng.randint(0, len(data))
    return begin, min(len(data), begin + rng.choice((0, 1, 2, 4, 16, 256)))


_CHANGES: Final[tuple[Callable[[Target, bytes, random.Random], bytes], ...]] = (
    _cut,
    _repeat,
    _overwrite,
    _insert,
    _word,
    _splice,
    _value,
)
