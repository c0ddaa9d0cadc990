"""Two versions on one store: what the version before wrote is read, and says the same."""

from collections.abc import Callable
from typing import Any, Final

import msgpack
import pytest

from router import codec
from router.errors import DecodeError
from router.seals import Seals
from tests.support.written import SEALED_FOR, SECRET, Written, fields_of, written

# What a node of this version may find in its store, while the nodes are renewed one by one.
VERSIONS: Final = [version for version in (codec.VERSION - 1, codec.VERSION) if version]
READ: Final[dict[str, Callable[[bytes], Any]]] = {
    "StoredMessage": codec.decode_stored,
    "Lease": codec.decode_lease,
    "RouteEntry": codec.decode_route,
    "sealed": Seals([SECRET]).decoder(SEALED_FOR),
}
ALL: Final = [(version, each) for version in VERSIONS for each in written(version)]
NOW: Final = [each for each in written(codec.VERSION) if each.kind != "sealed"]


def decode(each: Written) -> Any:
    return READ.get(each.kind, codec.decode_envelope)(each.data)


@pytest.mark.parametrize(("version", "each"), ALL, ids=lambda part: getattr(part, "kind", part))
def test_what_this_version_and_the_one_before_wrote_says_the_same_today(
    version: int, each: Written
) -> None:
    found = fields_of(decode(each))
    assert {name: found[name] for name in each.fields} == each.fields


@pytest.mark.parametrize("each", NOW, ids=lambda each: each.kind)
def test_what_is_written_today_is_what_this_version_always_wrote(each: Written) -> None:
    """A field more, less or elsewhere is another version."""
    assert codec.encode(decode(each)) == each.data
    assert fields_of(decode(each)) == each.fields


def test_every_kind_is_among_what_is_kept() -> None:
    kinds = {each.__name__ for each in codec.Envelope.__args__}
    assert {each.kind for each in NOW} == kinds | {"StoredMessage", "Lease", "RouteEntry"}


@pytest.mark.parametrize(
    "each", [each for each in NOW if each.kind not in ("Lease", "RouteEntry")], ids=lambda e: e.kind
)
def test_an_envelope_of_a_version_that_is_not_known_is_refused_whole(each: Written) -> None:
    first, *fields = msgpack.unpackb(each.data)
    assert first >> 4 == codec.VERSION
    with pytest.raises(DecodeError):
        decode(Written(each.kind, msgpack.packb([first + 0x10, *fields]), {}))


@pytest.mark.parametrize("kind", ["Lease", "RouteEntry"])
def test_what_a_later_version_puts_behind_the_fields_of_leases_and_routes_is_passed_over(
    kind: str,
) -> None:
    (each,) = (each for each in NOW if each.kind == kind)
    later = msgpack.packb([*msgpack.unpackb(each.data), "later", [1]])
    assert decode(Written(kind, later, {})) == decode(each)


def test_the_vitals_in_a_lease_may_grow_too() -> None:
    (each,) = (each for each in NOW if each.kind == "Lease")
    *fields, vitals = msgpack.unpackb(each.data)
    later = msgpack.packb([*fields, [*vitals, "later"]])
    assert decode(Written("Lease", later, {})) == decode(each)
