"""What hypothesis makes of a target: values of every shape, and changed samples."""

import json
import random
from typing import Any, Final

import msgspec
from hypothesis import strategies as st

from tests.fuzz.mutating import MAX_BYTES, mutate
from tests.fuzz.targets import Target

_ONE_SLOW_IN: Final = 30
_numbers = st.one_of(
    st.integers(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.sampled_from((0, -1, 2**53, 2**63, 2**64 - 1, 1e308, 5e-324)),
)
_texts = st.one_of(st.text(), st.text("abc:;/.{}%-_ \n\r\x00äß\u2028", max_size=20))


def _values(names: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.one_of(st.none(), st.booleans(), _numbers, _texts, names),
        lambda inner: st.one_of(
            st.lists(inner, max_size=12), st.dictionaries(names | _texts, inner, max_size=8)
        ),
        max_leaves=12,
    )


def _as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=bool(len(str(value)) % 2)).encode("utf-8", "replace")


def _as_msgpack(value: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return b"\xcf" + b"\xff" * 8


def _names(target: Target) -> st.SearchStrategy[str]:
    found = {"type", "send", "ack", "ping", "to", "data", "ref", "offset"}
    for sample in target.samples:
        try:
            value = json.loads(sample)
        except ValueError:
            continue
        if isinstance(value, dict):
            found |= {*value, *(each for each in value.values() if isinstance(each, str))}
    return st.sampled_from(sorted(found))


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Return what hypothesis tries on a target."""
    values = _values(_names(target))
    tagged = st.tuples(st.sampled_from((0x11, 0x12, 0x13, 0x14)), st.lists(values, max_size=13))
    slow = st.one_of(
        values.map(_as_json),
        values.map(_as_msgpack),
        tagged.map(lambda found: _as_msgpack([found[0], *found[1]])),
    )
    quick = [st.binary(max_size=size) for size in (8, 64, MAX_BYTES)]
    quick += [st.integers(0, 2**63).map(lambda n: _changed(target, n)) for _ in range(7)]
    # Few of them: values cost ten times as much to make.
    most = st.one_of(quick)
    return st.integers(0, _ONE_SLOW_IN).flatmap(lambda n: slow if n == _ONE_SLOW_IN else most)


def _changed(target: Target, number: int) -> bytes:
    rng = random.Random(number)
    return mutate(target, rng.choice(target.samples), rng)
