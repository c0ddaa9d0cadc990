"""A real store with nothing of ours between it and the test but the names of the keys."""

import secrets
from typing import Any, Final, cast

from redis import Redis

from router.keys import Keys
from router.model import EndpointId, UserId
from router.store.scripts import Script

DAY_MS: Final = 86_400_000


class BareStore:
    """A real store as one test sees it: one endpoint's keys and one user's, under its own prefix.

    Args:
        redis: connected.
    """

    def __init__(self, redis: "Redis") -> None:
        self.redis = redis
        self.keys = Keys(f"t{secrets.token_hex(6)}")
        self.endpoint = EndpointId("n1.0a1b")
        self.user = UserId("alice")
        self.open = self.keys.open(self.endpoint)
        self.lease = self.keys.lease(self.endpoint)
        self.inbox = self.keys.inbox(self.endpoint)
        self.done = self.keys.done(self.endpoint)
        self.users = self.keys.users(self.endpoint)
        self.routes = self.keys.routes(self.user)
        self.seen = self.keys.seen(self.user)
        self.mail = self.keys.mail(self.user)
        self.cursors = self.keys.cursors(self.user)

    def run(self, script: Script, keys: tuple[str, ...], *args: str | bytes | float) -> Any:
        """Run a script as a server without it in its cache does, and return its reply."""
        source = script.source.decode()
        reply: Any = cast(Any, self.redis).eval(source, len(keys), *keys, *args)
        assert self.redis.script_exists(script.sha) == [True]
        return reply

    def keys_left(self) -> dict[str, str]:
        """Return every key under this test's prefix with its type."""
        names: Any = self.redis.keys(f"{self.keys.prefix}:*")
        found: dict[str, str] = {}
        for name in sorted(names):
            kind: Any = self.redis.type(name)
            found[name.decode()] = kind.decode()
        return found

    def contents(self) -> dict[str, Any]:
        """Return the value of every key under this test's prefix."""
        readers = {
            "string": "GET {0}",
            "list": "LRANGE {0} 0 -1",
            "hash": "HGETALL {0}",
            "zset": "ZRANGE {0} 0 -1 WITHSCORES",
            "stream": "XRANGE {0} - +",
        }
        ask: Any = self.redis.execute_command
        return {
            name: ask(*readers[kind].format(name).split())
            for name, kind in self.keys_left().items()
        }

    def ttl_ms(self, key: str) -> int:
        """Return what is left of a key's life; -1 for no end, -2 for no key."""
        left: Any = self.redis.pttl(key)
        return int(left)

    def time_ms(self) -> int:
        """Return the store's time in milliseconds since 1970."""
        seconds, microseconds = cast(Any, self.redis).time()
        return int(seconds) * 1000 + int(microseconds) // 1000
