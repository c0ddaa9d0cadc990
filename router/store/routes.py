"""user -> endpoints: the look-up, with a cache that Redis itself keeps right.

The look-ups travel on a connection of their own (one per master in a Cluster) with CLIENT TRACKING,
so any later change of a routes key read on it arrives on that same connection, after the reply and
in order. Replies are handled a pipeline at a time: what changed between the first and the last of
them is not kept. A lost connection empties the cache.
Source: https://redis.io/docs/latest/develop/clients/client-side-caching/
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hiredis import ReplyError

from router.errors import SwitchboardError, Unavailable
from router.keys import Keys
from router.model import EndpointId, UserId
from router.settings import RegistrySettings
from router.store.answers import NoReply, Thin
from router.store.connect import Connector, is_full
from router.store.fields import split_route_field
from router.store.modes import make_store
from router.store.resp import Command, keyed, pack


@dataclass(frozen=True, slots=True)
class Routes:
    """Where a user is.

    Args:
        endpoints: each endpoint that holds a session of the user, once.
        sessions: how many sessions that is.
    """

    endpoints: tuple[EndpointId, ...]
    sessions: int


NOWHERE = Routes((), 0)


@dataclass(frozen=True, slots=True)
class Question:
    """One look-up.

    Args:
        user: whom to look up.
        command: a packed script whose reply ends in the route fields, which does something else in
            the same step; None for a plain look-up.
    """

    user: UserId
    command: Command | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up found.

    Args:
        routes: where the user is; None when the store refused to say.
        rest: what else the question's command answered.
        error: why the store refused.
        full: why, when it has no room.
        lost: no answer came, and the question's command may have run.
        unsent: it was not asked, since nobody was there to be asked.
        thin: how many replicas have what its command wrote, if too few; None for enough.
    """

    routes: Routes | None
    rest: Sequence[Any] = ()
    error: SwitchboardError | None = None
    full: str = ""
    lost: bool = False
    unsent: bool = False
    thin: int | None = None


LookedUp = Callable[[list[Found]], None]
"""Gets the answers in the order of the questions."""


def parse_routes(fields: Sequence[bytes]) -> Routes:
    """Return the routes in the field names of a routes hash; fields not of ours are left out."""
    if not fields:
        return NOWHERE
    found = [place[0] for field in fields if (place := split_route_field(field)) is not None]
    return Routes(tuple(dict.fromkeys(found)), len(found))


class _UnderWay:
    """A look-up that has no answer yet, and whose routes have changed since it began."""

    __slots__ = ("all_changed", "changed")

    def __init__(self) -> None:
        self.all_changed = False
        self.changed: set[UserId] = set()


class RouteTable:
    """Looks users up, past the cache or from it.

    `cached` never invents: it returns what the store said and has not taken back, or None. Absence
    is never cached. With `registry.cache = false` it returns None always.

    Args:
        connector: opens the connection of the look-ups.
        keys: key names.
        settings: whether to cache, and how many users.
    """

    def __init__(self, connector: Connector, keys: Keys, settings: RegistrySettings) -> None:
        self.counts = connector.counts
        self._keys = keys
        self._caches = settings.cache
        self._limit = settings.cache_users
        self._cache: dict[UserId, Routes] = {}
        self._under_way: set[_UnderWay] = set()
        # The server names the key that changed; cutting its fixed ends off gives the user.
        head, tail = keys.routes(UserId("")).split("{}")
        self._head, self._tail = f"{head}{{".encode(), f"}}{tail}".encode()
        self.cached: Callable[[UserId], Routes | None] = self._cache.get
        # Called after each successful (re)connect; set by whoever has something to ask again then.
        self.on_up: Callable[[], None] = lambda: None
        setup = (pack("CLIENT", "TRACKING", "ON"), 1) if self._caches else (b"", 0)
        self._store = make_store(
            connector,
            "routes",
            setup=setup,
            on_up=self._came_up,
            on_down=self._forget_all,
            on_push=self._pushed,
        )

    async def open(self) -> None:
        """Connect; raise as `Store.open`."""
        await self._store.open()

    async def close(self) -> None:
        """Disconnect and empty the cache."""
        await self._store.close()

    def place(self, user: UserId) -> str:
        """Return which server of the store knows where a user is; "" for the only one."""
        return self._store.place(self._keys.routes(user))

    def look_up(self, questions: Sequence[Question], done: LookedUp, replicas: int = 0) -> None:
        """Ask the store where users are, in one pipeline.

        Args:
            questions: at least one.
            done: called once, never before this returns unless the link is down.
            replicas: how many shall have what the questions' commands write; see `Store.send`.
        """
        self.counts.lookups += len(questions)
        asked = _UnderWay()
        self._under_way.add(asked)

        def replied(replies: list[Any]) -> None:
            self._under_way.discard(asked)
            done(self._take(questions, replies, asked))

        self._store.send([self._command(question) for question in questions], replied, replicas)

    def _command(self, question: Question) -> Command:
        return question.command or keyed("HKEYS", self._keys.routes(question.user))

    def _take(
        self, questions: Sequence[Question], replies: list[Any], asked: _UnderWay
    ) -> list[Found]:
        found: list[Found] = []
        for question, answer in zip(questions, replies, strict=True):
            thin = answer.replicas if type(answer) is Thin else None
            reply = answer if thin is None else answer.reply
            if type(reply) is ReplyError:
                full = f"the store is full: {reply}" if is_full(reply) else ""
                found.append(Found(None, error=self._store.explain(reply), full=full))
                continue
            if type(reply) is NoReply:
                error = Unavailable(reply.address, "the look-up got no answer")
                found.append(Found(None, error=error, lost=reply.sent, unsent=not reply.sent))
                continue
            routes = parse_routes(reply if question.command is None else reply[-1])
            rest = () if question.command is None else reply[:-1]
            found.append(Found(routes, rest, thin=thin))
            if self._caches and routes.endpoints:
                self._keep(question.user, routes, asked)
        return found

    def _keep(self, user: UserId, routes: Routes, asked: _UnderWay) -> None:
        if asked.all_changed or user in asked.changed:
            return  # the reply may be older than the change
        if len(self._cache) >= self._limit and user not in self._cache:
            del self._cache[next(iter(self._cache))]  # the oldest entry; it costs one look-up
        self._cache[user] = routes

    def forget(self, user: UserId) -> None:
        """Drop what is cached of a user: a push has just shown it to be wrong."""
        self._cache.pop(user, None)

    def _came_up(self) -> None:
        self.on_up()

    def _forget_all(self) -> None:
        """A connection is gone, and with it the notices of what was read on it."""
        self._cache.clear()
        for asked in self._under_way:
            asked.all_changed = True

    def _pushed(self, message: list[Any]) -> None:
        """Drop the users whose routes changed: `[b"invalidate", keys]`, keys None for all."""
        if message[0] != b"invalidate":
            return
        if message[1] is None:
            self._forget_all()
            return
        for key in message[1]:
            if not key.endswith(self._tail):
                continue  # a mailbox: what a question's command reads is tracked, too
            name = key[len(self._head) : len(key) - len(self._tail)]
            user = UserId(name.decode("utf-8", "replace"))
            self._cache.pop(user, None)
            for asked in self._under_way:
                asked.changed.add(user)
