"""How a process is doing, as its lease tells."""

import msgspec
import pytest

from router.codec import Lease, decode_lease, encode
from router.errors import DecodeError
from router.vitals import UNKNOWN, Vitals

SAID = Lease("node", 7, "127.0.0.1:8001", "live", 3, 10, 9, 1.5, 0.5)
BUSY = 2**40


def test_a_lease_of_the_version_before_has_none() -> None:
    old = ("node", 7, "127.0.0.1:8001", "live", 3, 10, 9, 1.5, 0.5)
    assert decode_lease(msgspec.msgpack.encode(old)) == SAID
    assert SAID.vitals == UNKNOWN


@pytest.mark.parametrize("later", [("more",), (None, {"a": 1})])
def test_what_a_later_version_puts_behind_is_passed_over(later: tuple[object, ...]) -> None:
    lease = (*msgspec.to_builtins(SAID), *later)
    assert decode_lease(msgspec.msgpack.encode(lease)) == SAID
    vitals = (*msgspec.to_builtins(UNKNOWN), *later)
    lease = (*msgspec.to_builtins(SAID)[:9], vitals)
    assert decode_lease(msgspec.msgpack.encode(lease)) == SAID


@pytest.mark.parametrize(
    "hostile", [(-1,), (0, "much"), (0, 1.0, 2**60), (0, None, 0, 0.0, 0, 0, [0] * 65), ([[[]]],)]
)
def test_what_makes_no_sense_is_an_error_of_ours(hostile: tuple[object, ...]) -> None:
    lease = (*msgspec.to_builtins(SAID)[:9], hostile)
    with pytest.raises(DecodeError):
        decode_lease(msgspec.msgpack.encode(lease))


def test_a_lease_stays_small_however_busy_its_node() -> None:
    vitals = Vitals(BUSY, 99.9, BUSY, 12.5, BUSY, BUSY, (BUSY,) * 11, (BUSY,) * 15)
    assert len(encode(msgspec.structs.replace(SAID, vitals=vitals))) < 400
