import json
from random import Random
from typing import Any

import pytest

from router.depth import too_deep


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


def made_up(rng: Random, levels: int) -> Any:
    """Return a value that tries hard to be mistaken."""
    kind = rng.random()
    if not levels or kind < 0.2:
        return rng.choice([1, None, "[[{", "]]}}", '\\"[', 'a"', "\\\\", "\\", ""])
    size = range(rng.randint(0, 3))
    if kind < 0.6:
        return [made_up(rng, levels - 1) for _ in size]
    return {rng.choice(["a", '"[', "\\", "{"]): made_up(rng, levels - 1) for _ in size}


def test_the_limit_itself_is_allowed() -> None:
    assert not too_deep(nested(64), 64)
    assert too_deep(nested(65), 64)
    assert too_deep(b'{"a":' * 65 + b"1" + b"}" * 65, 64)


def test_brackets_in_strings_do_not_count() -> None:
    for text in ("[" * 1_000, "\\[" * 100, '"[' * 100, "{" * 100 + "\\"):
        assert not too_deep(json.dumps([text, [text], {text: 1}]).encode(), 64)


def test_many_side_by_side_are_not_deep() -> None:
    assert not too_deep(json.dumps([{"id": i, "tags": [[i]]} for i in range(5_000)]).encode(), 4)
    assert too_deep(json.dumps([{"id": i, "tags": [[i]]} for i in range(5_000)]).encode(), 3)


def test_a_saw_is_as_deep_as_its_teeth() -> None:
    teeth = b"[" + b",".join([nested(63)] * 500) + b"]"
    assert not too_deep(teeth, 64)
    assert too_deep(teeth, 63)


@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_a_parser(seed: int) -> None:
    rng = Random(seed)
    for _ in range(100):
        value = made_up(rng, 12)
        real = depth_of(value)
        text = json.dumps(value, indent=rng.choice([None, 1])).encode()
        for limit in {1, 3, max(1, real - 1), max(1, real)}:
            assert too_deep(text, limit) == (real > limit), (value, limit)
