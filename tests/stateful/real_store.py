"""The real scripts under the names of the model's steps, with what they answer and leave behind."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from redis import Redis

from router.codec import RouteEntry, encode_route
from router.keys import Keys
from router.model import EndpointId, SessionId, UserId
from router.store import scripts
from router.store.fields import route_field, route_prefixes
from router.store.scripts import Script
from tests.model.draft import Draft
from tests.model.rules import Rules
from tests.model.state import Copy, Endpoint, Route
from tests.support.route_fields import shown

_LONG_MS: Final = 100_000_000
_MANY: Final = 1_000_000_000
Contents = dict[str, Any]


class RealStore:
    """A real store that is told the same as the model's.

    Args:
        redis: connected.
        rules: who the model's users and devices are; the mailbox is that of the first durable one.
    """

    def __init__(self, redis: "Redis", rules: Rules) -> None:
        self._redis: Any = redis
        self._rules = rules
        self._keys = Keys(f"t{secrets.token_hex(6)}")
        self._offsets = {0: b"0-0"}
        self._mail = self._keys.mail(UserId(rules.mailbox))
        self._cursors = self._keys.cursors(UserId(rules.mailbox))

    def run(self, name: str, d: Draft, *arguments: Any) -> Any:
        """Do a step of the model's store, and return what the model would.

        Args:
            name: of the function in `tests/model/store.py`.
            d: the model's state, for whose session is whose.
            arguments: of that function.
        """
        step: Callable[..., Any] = getattr(self, f"_{name}")
        if name == "register":
            return step(*arguments, self._device(d.owners[arguments[2]]))
        return step(*arguments)

    def forget_everything(self) -> None:
        """Remove what this store has left behind."""
        names = self._redis.keys(f"{self._keys.prefix}:*")
        if names:
            self._redis.delete(*names)

    # ---- endpoints --------------------------------------------------------------------------

    def _open_endpoint(self, endpoint: str) -> int:
        self._redis.sadd(self._keys.endpoints, endpoint)
        return self._number(scripts.OPEN, endpoint, "open lease", b"here", _LONG_MS)

    def _heartbeat(self, endpoint: str) -> int:
        answer = self._number(scripts.HEARTBEAT, endpoint, "open lease", b"here", _LONG_MS)
        self._redis.sadd(self._keys.endpoints, endpoint)
        return min(answer, 1)

    def _close(self, endpoint: str) -> int:
        return self._number(scripts.CLOSE, endpoint, "open lease inbox done users")

    def _push(self, endpoint: str, copies: tuple[Copy, ...]) -> int:
        envelopes = [_text(copy) for copy in copies]
        limits = (_MANY, _MANY, _MANY)
        return self._number(scripts.PUSH, endpoint, "open inbox", *limits, *envelopes)

    def _trim(self, endpoint: str, position: int, count: int) -> int:
        return self._number(scripts.TRIM, endpoint, "open inbox done", position, count)

    def _fence(self, endpoint: str, token: str) -> int:
        keys = "open lease inbox rescued rescuer"
        return self._number(scripts.FENCE, endpoint, keys, token, _LONG_MS)

    def _salvage(self, endpoint: str, token: str, position: int, count: int) -> int:
        keys = "rescuer rescued done"
        return self._number(scripts.SALVAGE, endpoint, keys, token, _LONG_MS, position, count)

    def _bury(self, endpoint: str, token: str) -> int:
        return self._number(scripts.BURY, endpoint, "rescuer rescued done users lease", token)

    def _unlist(self, endpoint: str) -> int:
        return int(self._redis.srem(self._keys.endpoints, endpoint))

    # ---- users ------------------------------------------------------------------------------

    def _index(self, endpoint: str, user: str) -> int:
        return self._number(scripts.INDEX, endpoint, "open users", 0, user)

    def _unlist_user(self, endpoint: str, user: str) -> int:
        return int(self._redis.zrem(self._keys.users(EndpointId(endpoint)), user))

    def _register(self, user: str, endpoint: str, session: int, device: str) -> int:
        entry = encode_route(RouteEntry(device, "", 1.0))
        keys = (self._keys.routes(UserId(user)), self._keys.mail(UserId(user)))
        newest = self._eval(scripts.REGISTER, keys, _field(endpoint, session), entry, _LONG_MS)
        return self._offset(newest) if newest is not None else 0

    def _unregister(self, user: str, endpoint: str, session: int) -> int:
        keys = (self._keys.routes(UserId(user)), self._keys.seen(UserId(user)))
        return int(self._eval(scripts.UNREGISTER, keys, _field(endpoint, session), _LONG_MS))

    def _forget(self, user: str, endpoint: str, keep: tuple[int, ...]) -> tuple[str, ...]:
        keys = (self._keys.routes(UserId(user)), self._keys.seen(UserId(user)))
        kept = [_field(endpoint, session) for session in keep]
        prefixes = route_prefixes(EndpointId(endpoint))
        return _endpoints(self._eval(scripts.FORGET, keys, *prefixes, _LONG_MS, *kept))

    def _look_up(self, user: str) -> tuple[str, ...]:
        return _endpoints(self._redis.hkeys(self._keys.routes(UserId(user))))

    # ---- the mailbox ------------------------------------------------------------------------

    def _look_up_durable(self, message: int, user: str) -> tuple[int, int, tuple[str, ...]]:
        keys = (self._keys.routes(UserId(user)), self._mail, self._cursors)
        name, limits = f"m{message}", (_MANY, _MANY, _LONG_MS, _LONG_MS)
        reply = self._eval(scripts.LOOKUP, keys, name, f"bob {name}", name, *limits, 1)
        status, offset, before, fields = reply
        assert status == b"ok"
        if offset not in self._offsets.values():
            self._offsets[max(self._offsets) + 1] = offset
        return self._offset(offset), self._offset(before), _endpoints(fields)

    def _resume(self, client: int, since: int | None) -> tuple[int, bool]:
        asked = "" if since is None else self._offsets[since]
        keys = (self._cursors, self._mail)
        after, whole, _ = self._eval(
            scripts.RESUME, keys, self._device(client), asked, _LONG_MS, _MANY
        )
        return self._offset(after), whole == 1

    def _acknowledge(self, client: int, offset: int) -> int:
        arguments = (self._device(client), self._offsets[offset], _LONG_MS)
        return int(self._eval(scripts.ACK, (self._cursors, self._mail), *arguments))

    # ---- what ends by itself ----------------------------------------------------------------

    def lease_ends(self, endpoint: str) -> None:
        """Let a lease end."""
        self._redis.delete(self._keys.lease(EndpointId(endpoint)))

    def token_ends(self, endpoint: str) -> None:
        """Let a rescuer's token end."""
        self._redis.delete(self._keys.rescuer(EndpointId(endpoint)))

    def routes_end(self, user: str) -> None:
        """Let a user's routes end."""
        self._redis.delete(self._keys.routes(UserId(user)))

    # ---- looking ----------------------------------------------------------------------------

    def contents(self, endpoints: Iterable[str]) -> Contents:
        """Return what lies in the store, as `contents_of` says it of the model; one round trip."""
        names = list(endpoints)
        users = sorted({user for user, _ in self._rules.people})
        pipe = self._redis.pipeline(transaction=False)
        for name in names:
            self._ask_endpoint(pipe, name)
        for user in users:
            pipe.hkeys(self._keys.routes(UserId(user)))
        pipe.xrange(self._mail)
        pipe.hgetall(self._cursors)
        replies = pipe.execute()
        size = len(_ENDPOINT_KEYS) + 1
        found: Contents = {
            name: _endpoint(name, replies[size * number : size * (number + 1)])
            for number, name in enumerate(names)
        }
        *fields, entries, held = replies[size * len(names) :]
        found["routes"] = {
            _route(user, field) for user, own in zip(users, fields, strict=True) for field in own
        }
        found["mail"] = [
            (self._offset(offset), int(entry[b"message"][1:])) for offset, entry in entries
        ]
        found["trimmed"] = self._offset(held.pop(b"", b"0-0"))
        found["cursors"] = {
            device.decode(): self._offset(value.split()[0]) for device, value in held.items()
        }
        return found

    def _ask_endpoint(self, pipe: Any, name: str) -> None:
        for what, command in _ENDPOINT_KEYS.items():
            key = getattr(self._keys, what)(EndpointId(name))
            pipe.execute_command(command, key, *((0, -1) if "RANGE" in command else ()))
        pipe.sismember(self._keys.endpoints, name)

    # ---- the wire ---------------------------------------------------------------------------

    def _eval(self, script: Script, keys: tuple[str, ...], *arguments: Any) -> Any:
        return self._redis.eval(script.source.decode(), len(keys), *keys, *arguments)

    def _number(self, script: Script, endpoint: str, names: str, *arguments: Any) -> int:
        keys = tuple(getattr(self._keys, name)(EndpointId(endpoint)) for name in names.split())
        return int(self._eval(script, keys, *arguments))

    def _device(self, client: int) -> str:
        return f"d{client}"

    def _offset(self, raw: bytes) -> int:
        return next(number for number, known in self._offsets.items() if known == raw)


_ENDPOINT_KEYS: Final = {
    "open": "EXISTS",
    "lease": "EXISTS",
    "inbox": "LRANGE",
    "done": "GET",
    "rescued": "LRANGE",
    "rescuer": "GET",
    "users": "ZRANGE",
}


def _endpoint(name: str, replies: Sequence[Any]) -> Endpoint:
    opened, lease, inbox, done, rescued, rescuer, users, listed = replies
    return Endpoint(
        name,
        open=bool(opened),
        lease=bool(lease),
        inbox=_copies(inbox),
        done=int(done or 0),
        rescued=_copies(rescued),
        rescuer=(rescuer or b"").decode(),
        users=frozenset(user.decode() for user in users),
        listed=bool(listed),
    )


def _route(user: str, field: bytes) -> Route:
    endpoint, _, session = field.decode().rpartition("/")
    return user, endpoint, int(session)


def contents_of(d: Draft) -> Contents:
    """Return what lies in the model's store."""
    found: Contents = dict(d.endpoints)
    found["routes"] = set(d.routes)
    found["mail"] = list(d.mail)
    found["trimmed"] = d.trimmed
    found["cursors"] = {f"d{client}": at for client, at in enumerate(d.cursors) if at >= 0}
    return found


def _field(endpoint: str, session: int) -> bytes:
    return route_field(EndpointId(endpoint), SessionId(str(session)))


def _endpoints(fields: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(sorted({field.rpartition("/")[0] for field in shown(fields)}))


def _text(copy: Copy) -> str:
    return " ".join(str(part) for part in copy)


def _copies(entries: Iterable[bytes]) -> tuple[Copy, ...]:
    numbers = (tuple(int(part) for part in entry.split()) for entry in entries)
    return tuple(Copy(*cast(tuple[int, int, int, int], each)) for each in numbers)
