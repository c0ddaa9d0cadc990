"""What this program may do in the store: one list, from which the users of a store are made.

`deploy/redis/users.acl` and the embedded server get their lines from here; the probe at start finds
what a user lacks. A test holds the list against every command in the code and in the scripts.
Source: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
"""

import hashlib
import secrets
from typing import Final

from router.keys import Keys
from router.model import EndpointId, UserId
from router.store.resp import Argument, Command, pack

USER: Final = "switchboard"
"""Whom nodes and senders connect as. They are one role: a sender has an inbox, too, and removes
routes that are wrong; what it could be denied is little, and not what harms."""

# AUTH and HELLO are anybody's, by themselves.
COMMANDS: Final = (
    "asking",
    "blmove",
    "client|reply",
    "client|setname",
    "client|tracking",
    "cluster|slots",
    "del",
    "eval",
    "evalsha",
    "exists",
    "get",
    "getdel",
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hkeys",
    "hlen",
    "hset",
    "hsetnx",
    "hvals",
    "incrby",
    "info",
    "llen",
    "lrange",
    "ltrim",
    "memory|usage",
    "mget",
    "pexpire",
    "ping",
    "pttl",
    "publish",
    "rename",
    "role",
    "rpush",
    "sadd",
    "scard",
    "script|load",
    "set",
    "smembers",
    "smismember",
    "srandmember",
    "srem",
    "subscribe",
    "time",
    "type",
    "unsubscribe",
    "wait",
    "xadd",
    "xinfo|stream",
    "xlen",
    "xrange",
    "xrevrange",
    "xtrim",
    "zadd",
    "zcard",
    "zmscore",
    "zrange",
    "zrem",
    "zremrangebyscore",
)
"""Every command in use, sub-commands behind a bar, in the store's own spelling."""


def rights(prefix: str) -> str:
    """Return the rules of an ACL line that allow what we do, and nothing else.

    Args:
        prefix: of the keys, and of the Pub/Sub channels; `*` for any.
    """
    allowed = " ".join(f"+{command}" for command in COMMANDS)
    return f"resetkeys ~{prefix}:* resetchannels &{prefix}:* -@all {allowed}"


def acl_line(prefix: str, password: str) -> str:
    """Return the line that makes our user; the password is in it as a hash only.

    Args:
        prefix: see `rights`.
        password: of the user.
    """
    return f"user {USER} on #{hashlib.sha256(password.encode()).hexdigest()} {rights(prefix)}"


def rights_probe(keys: Keys) -> list[Command]:
    """Return harmless commands, one of each kind we need.

    A user of the store without the rights is then refused at start with the command's name, and
    not in the middle of a delivery: a script that lacks one right of several does half its work.
    """
    # An endpoint of its own: several processes may start at once.
    endpoint, user = EndpointId(f"probe.{secrets.token_hex(5)}"), UserId("probe")
    inbox, listing = keys.inbox(endpoint), keys.users(endpoint)
    commands: list[tuple[Argument, ...]] = [
        # First the push: a BLMOVE that finds nothing takes the server's next tick, up to 100 ms.
        ("RPUSH", inbox, "probe"),
        ("BLMOVE", inbox, inbox, "LEFT", "LEFT", 0.001),
        ("LRANGE", inbox, 1, 1),
        ("LLEN", inbox),
        ("MEMORY", "USAGE", inbox, "SAMPLES", 0),
        ("LTRIM", inbox, 1, 0),
        ("HKEYS", keys.routes(user)),
        ("HGETALL", keys.routes(user)),
        ("SADD", keys.endpoints, endpoint),
        ("SREM", keys.endpoints, endpoint),
        ("SMEMBERS", keys.endpoints),
        ("SRANDMEMBER", keys.endpoints, 1),
        ("SCARD", keys.endpoints),
        ("SMISMEMBER", keys.endpoints, endpoint),
        ("ZADD", listing, 0, "probe"),
        ("ZCARD", listing),
        ("ZMSCORE", listing, "probe"),
        ("ZRANGE", listing, "-", "+", "BYLEX", "LIMIT", 0, 1),
        ("ZREM", listing, "probe"),
        ("ZREMRANGEBYSCORE", listing, "(0", "+inf"),
        ("TYPE", listing),
        *_probe_of_scripts(keys.lease(endpoint), keys.done(endpoint), keys.rescued(endpoint)),
        ("EVAL", "return 1", 0),
        ("PUBLISH", keys.channel(user), "probe"),
        ("CLIENT", "REPLY", "ON"),
        ("TIME",),
    ]
    return [Command(_key_in(command, keys), pack(*command)) for command in commands]


def _key_in(command: tuple[Argument, ...], keys: Keys) -> str:
    """Return the first key in a command; "" for none."""
    names = (part for part in command[1:] if isinstance(part, str))
    return next((name for name in names if name.startswith(f"{keys.prefix}:")), "")


def _probe_of_scripts(one: str, other: str, third: str) -> list[tuple[Argument, ...]]:
    """Return what scripts do, done to three keys that are free, and are free again afterwards."""
    return [
        ("SET", one, 1, "PX", 60_000),
        ("GET", one),
        ("GETDEL", other),
        ("EXISTS", one),
        ("PTTL", one),
        ("MGET", one, other),
        ("RENAME", one, other),
        ("PEXPIRE", other, 60_000),
        ("INCRBY", other, 1),
        ("DEL", other),
        ("HSET", third, "a", 1),
        ("HSETNX", third, "b", 1),
        ("HGET", third, "a"),
        ("HEXISTS", third, "a"),
        ("HLEN", third),
        ("HVALS", third),
        ("HDEL", third, "a", "b"),
        ("XADD", third, "*", "a", 1),
        ("XINFO", "STREAM", third),
        ("XLEN", third),
        ("XRANGE", third, "-", "+", "COUNT", 1),
        ("XREVRANGE", third, "+", "-", "COUNT", 1),
        ("XTRIM", third, "MAXLEN", 0),
        ("DEL", third),
    ]
