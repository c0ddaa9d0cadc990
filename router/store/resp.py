"""Commands in the store's wire format (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""

from typing import Any, Final, NamedTuple, cast

import hiredis

# 128 characters of at most 4 bytes, as long as the longest user id.
_MAX_ID_BYTES: Final = 512
Argument = str | bytes | int | float


class Command(NamedTuple):
    """One command, ready to be sent.

    Args:
        key: one of the keys that it touches: where that lives, it runs; "" for one that can run
            anywhere.
        packed: the bytes that go to the store.
    """

    key: str
    packed: bytes


def pack(*args: Argument) -> bytes:
    """Return one command as the bytes that go to the store."""
    return cast(bytes, hiredis.pack_command(cast(Any, args)))


def keyed(name: str, key: str, *args: Argument) -> Command:
    """Return a command whose first argument is its key, as with nearly all of them."""
    return Command(key, pack(name, key, *args))


def keyless(*args: Argument) -> Command:
    """Return a command that may run anywhere."""
    return Command("", pack(*args))


def text_of(data: bytes) -> str | None:
    """Return what the store holds as text; None if it is not UTF-8, so not from us."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def id_of(data: bytes) -> str | None:
    """Return what the store holds as an id that ends up in keys and answers; None if it is none."""
    name = text_of(data[: _MAX_ID_BYTES + 1])
    if not name or len(data) > _MAX_ID_BYTES or not name.isprintable():
        return None
    return None if b" " in data or b"{" in data or b"}" in data else name


# The store keeps the reply of the next command to itself; its own there is none.
# https://redis.io/docs/latest/commands/client-reply/
NO_REPLY: Final = pack("CLIENT", "REPLY", "SKIP")
