"""What lies in a store as a version of ours wrote it: bytes that were committed then.

`tests/support/written/version-N.json` has, for each kind, the bytes in hexadecimal and the fields
that they say. It is made once, by `python -m tests.support.written`, when version N is new, and
never again: it stands for the stores out there.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from router import codec
from router.model import EndpointId
from router.seals import Seals
from router.vitals import Vitals

SEALED_FOR: Final = EndpointId("n1.9a1b2c3d4e")
SECRET: Final = b"a key of 32 bytes, and known to all"
_FOLDER: Final = Path(__file__).with_name("written")
_TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass(frozen=True, slots=True)
class Written:
    """One value, as it was written.

    Args:
        kind: name of its class in `router.codec`; "sealed" for an envelope in the inbox of
            `SEALED_FOR`, with a seal by `SECRET`.
        data: the bytes.
        fields: what they say.
    """

    kind: str
    data: bytes
    fields: dict[str, Any]


def written(version: int) -> list[Written]:
    """Return what a version wrote, one of each kind and more."""
    rows = json.loads((_FOLDER / f"version-{version}.json").read_text())
    return [Written(row["kind"], bytes.fromhex(row["bytes"]), row["fields"]) for row in rows]


def fields_of(value: msgspec.Struct) -> dict[str, Any]:
    """Return the fields of a value, as JSON can hold them."""
    plain: dict[str, Any] = json.loads(
        msgspec.json.encode({name: getattr(value, name) for name in value.__struct_fields__})
    )
    return plain


def _samples() -> list[msgspec.Struct]:
    """Return one of each kind, every field with a value that none has by default."""
    message: list[Any] = ["m1", "shop.0c4f6b27d1", "bob", 2, 1, 1795996800.5, 1795996860000]
    told: list[Any] = [["alice", "eve"], [7, 8], b'{"text":"hello"}']
    places: list[Any] = [["1795996800000-0", "1795996800000-1"], ["0-0", "1795996799000-3"]]
    watched: list[Any] = [_TRACE, True]
    return [
        codec.MessageEnvelope(*message, *told, *places),
        codec.MessageEnvelope("m2", "", "bob", 0, 0, 1795996800.5, 0, None, [], b"[1]"),
        codec.TracedEnvelope(*message, *told, *places, *watched),
        codec.ReceiptEnvelope([7, 2, 1, 8, 10, 3]),
        codec.KickEnvelope("shop.0c4f6b27d1", 9, "alice", "", "signed out elsewhere"),
        codec.DrainEnvelope("n1.9a1b2c3d4e"),
        codec.StoredMessage("m3", "bob", 1795996800.5, 0, b'{"text":"kept"}'),
        codec.Lease(
            *("node", 4127, "10.0.0.5:8001", "draining", 12, 345, 340, 1.5, 1.25),
            Vitals(10, 12.5, 73_400_320, 1.5, 1, 2, (1, 2, 3), (4, 5)),
        ),
        codec.RouteEntry("phone", "192.0.2.7", 1795996800.25),
    ]


def _write() -> None:
    file = _FOLDER / f"version-{codec.VERSION}.json"
    if file.exists():
        sys.exit(f"{file.name} is there, and stays as it is")
    rows = [
        {"kind": type(each).__name__, "bytes": codec.encode(each).hex(), "fields": fields_of(each)}
        for each in _samples()
    ]
    sealed = Seals([SECRET]).seal(SEALED_FOR, codec.encode(_samples()[0]))
    rows.append({"kind": "sealed", "bytes": sealed.hex(), "fields": rows[0]["fields"]})
    file.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    _write()
