"""The store: one function per script (router/store/lua) or plain command; each is one step.

Arguments and answers are those of the scripts, with names for keys. `tests/stateful` runs traces of
the model through the real scripts and compares answers and contents.
"""

from collections.abc import Callable
from typing import Any, Final

from tests.model.draft import Draft
from tests.model.rules import Rules
from tests.model.state import Copy, Endpoint


def open_endpoint(d: Draft, rules: Rules, endpoint: str) -> int:
    """open.lua, behind the SADD of `Leases.open`."""
    found = d.endpoints.get(endpoint, Endpoint(endpoint, open=False, lease=False))
    d.endpoints[endpoint] = found._replace(
        open=True, lease=found.lease or not found.open, listed=True
    )
    return int(not found.open)


def heartbeat(d: Draft, rules: Rules, endpoint: str) -> int:
    """heartbeat.lua, and the SADD that travels with it (`Leases.heartbeat`)."""
    d.endpoint(endpoint, listed=True)
    if not d.endpoints[endpoint].open and "heartbeat_without_open" not in rules.broken:
        return -1
    d.endpoint(endpoint, lease=True)
    return 1


def close(d: Draft, rules: Rules, endpoint: str) -> int:
    """close.lua."""
    found = d.endpoints[endpoint]
    if not found.open:
        return -1
    if not found.inbox or "close_unchecked" in rules.broken:
        d.endpoint(endpoint, open=False, lease=False, done=0, users=frozenset())
    return len(found.inbox)


def push(d: Draft, rules: Rules, endpoint: str, copies: tuple[Copy, ...]) -> int:
    """push.lua, without a bound."""
    found = d.endpoints[endpoint]
    if not found.open and "push_blind" not in rules.broken:
        return -1
    d.endpoint(endpoint, inbox=found.inbox + copies)
    return len(found.inbox) + len(copies)


def trim(d: Draft, rules: Rules, endpoint: str, position: int, count: int) -> int:
    """trim.lua."""
    found = d.endpoints[endpoint]
    if "relative_trim" not in rules.broken:
        if not found.open and "trim_without_open" not in rules.broken:
            return -1
        if found.done != position:
            return 0
    d.endpoint(endpoint, inbox=found.inbox[count:], done=found.done + count)
    return 1


def index(d: Draft, rules: Rules, endpoint: str, user: str) -> int:
    """index.lua."""
    found = d.endpoints[endpoint]
    if not found.open and "index_without_open" not in rules.broken:
        return 0
    d.endpoint(endpoint, users=found.users | {user})
    return 1


def register(d: Draft, rules: Rules, user: str, endpoint: str, session: int) -> int:
    """register.lua; return the newest offset in the user's mailbox."""
    d.routes |= {(user, endpoint, session)}
    return d.newest if user == rules.mailbox else 0


def unregister(d: Draft, rules: Rules, user: str, endpoint: str, session: int) -> int:
    """unregister.lua."""
    gone = {(user, endpoint, session)} & d.routes
    if "unregister_user" in rules.broken:
        gone = {route for route in d.routes if route[0] == user}
    _check_goodbye(d, gone, session)
    d.routes -= gone
    return int(bool(gone) and not any(route[0] == user for route in d.routes))


def _check_goodbye(d: Draft, gone: frozenset[Any] | set[Any], session: int) -> None:
    for node in d.nodes.values():
        for other in node.sessions:
            if other.id != session and (other.user, node.endpoint, other.id) in gone:
                d.violate("a live route was removed by another session's goodbye")


def unlist_user(d: Draft, rules: Rules, endpoint: str, user: str) -> int:
    """ZREM of one user from an endpoint's listing."""
    users = d.endpoints[endpoint].users
    d.endpoint(endpoint, users=users - {user})
    return int(user in users)


def goodbye(
    d: Draft, rules: Rules, user: str, endpoint: str, session: int, last_here: bool
) -> None:
    """`Registry.unregister`: unregister.lua, and the ZREM that travels behind it."""
    unregister(d, rules, user, endpoint, session)
    if last_here:
        unlist_user(d, rules, endpoint, user)


def forget(
    d: Draft, rules: Rules, user: str, endpoint: str, keep: tuple[int, ...]
) -> tuple[str, ...]:
    """forget.lua; return the endpoints that remain, sorted."""
    d.routes = frozenset(
        route for route in d.routes if route[0] != user or route[1] != endpoint or route[2] in keep
    )
    return look_up(d, rules, user)


def look_up(d: Draft, rules: Rules, user: str) -> tuple[str, ...]:
    """HKEYS of a user's routes; return the endpoints, sorted."""
    return tuple(sorted({route[1] for route in d.routes if route[0] == user}))


def look_up_durable(
    d: Draft, rules: Rules, message: int, user: str
) -> tuple[int, int, tuple[str, ...]]:
    """lookup.lua: store the message once, and look its user up, in one step.

    Returns its offset, the offset before it, and the endpoints.
    """
    offset = next((offset for offset, stored in d.mail if stored == message), 0)
    if offset:
        prev = max((other for other, _ in d.mail if other < offset), default=d.trimmed)
        return offset, prev, look_up(d, rules, user)
    prev = d.newest
    d.log += (message,)  # an offset is the store's time: it goes on, whatever is rolled back
    offset = len(d.log) if "offsets_from_counter" not in rules.broken else d.newest + 1
    if not d.newest:
        here = {d.owners[route[2]] for route in d.routes if route[0] == user}
        d.cursors = tuple(
            0 if cursor < 0 and client in here else cursor
            for client, cursor in enumerate(d.cursors)
        )
    d.newest = offset
    d.mail += ((offset, message),)
    return offset, prev, look_up(d, rules, user)


def resume(d: Draft, rules: Rules, client: int, since: int | None) -> tuple[int, bool]:
    """resume.lua: return after which offset a device goes on, and whether that is all it asked."""
    cursor = d.cursors[client]
    asked = since if since is not None else cursor if cursor >= 0 else None
    after, whole = (d.trimmed, False) if asked is None else (asked, True)
    if d.newest < after:
        after, whole = d.newest, False
    whole = whole and after >= d.trimmed
    if cursor < 0 and "resume_holds_nothing" not in rules.broken:
        cursors = list(d.cursors)
        cursors[client] = after
        d.cursors = tuple(cursors)
    return after, whole or "resumed_always" in rules.broken


def acknowledge(d: Draft, rules: Rules, client: int, offset: int) -> int:
    """ack.lua: move a device's cursor on, and trim to the lowest cursor of all devices."""
    if d.cursors[client] >= offset:
        return 0
    cursors = list(d.cursors)
    cursors[client] = offset
    d.cursors = tuple(cursors)
    known = [cursor for cursor in cursors if cursor >= 0]
    lowest = max(known) if "trim_to_highest_cursor" in rules.broken else min(known)
    d.trimmed = max(d.trimmed, lowest)
    d.mail = tuple(entry for entry in d.mail if entry[0] > lowest)
    return 1


def fence(d: Draft, rules: Rules, endpoint: str, token: str) -> int:
    """fence.lua."""
    found = d.endpoints[endpoint]
    if found.open and found.lease:
        return 0
    if found.rescuer not in ("", token):
        return -1
    d.endpoint(endpoint, rescuer=token, open=False)
    if found.inbox and not found.rescued and "fence_no_rename" not in rules.broken:
        d.endpoint(endpoint, rescued=found.inbox, inbox=())
    return 1


def salvage(d: Draft, rules: Rules, endpoint: str, token: str, position: int, count: int) -> int:
    """salvage.lua."""
    found = d.endpoints[endpoint]
    if found.rescuer != token and "no_token" not in rules.broken:
        return 0
    if found.done != position and "relative_rescue_trim" not in rules.broken:
        return 0
    if count:
        d.endpoint(endpoint, rescued=found.rescued[count:], done=found.done + count)
    return 1


def bury(d: Draft, rules: Rules, endpoint: str, token: str) -> int:
    """bury.lua."""
    found = d.endpoints[endpoint]
    if found.rescuer != token or found.rescued or found.users:
        return 0
    d.endpoint(endpoint, rescuer="", done=0, lease=False)
    return 1


def unlist(d: Draft, rules: Rules, endpoint: str) -> int:
    """SREM of an endpoint from the list."""
    listed = d.endpoints[endpoint].listed
    d.endpoint(endpoint, listed=False)
    return int(listed)


LATE: Final[dict[str, Callable[..., Any]]] = {
    script.__name__: script
    for script in (push, trim, index, register, goodbye, forget, acknowledge, salvage, bury)
}
"""What may run when its sender has long given it up."""
