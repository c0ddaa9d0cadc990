"""Commands in the store's wire format (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""

from typing import Any, cast

import hiredis

Argument = str | bytes | int | float


def pack(*args: Argument) -> bytes:
    """Return one command as the bytes that go to the store."""
    return cast(bytes, hiredis.pack_command(cast(Any, args)))
