"""A master that Sentinels watch: they are asked where it is before each connection, and ever again.

After a failover in order the old master goes on for some ten seconds: it takes what it will lose,
and knows nobody who comes to the new one. Whoever is connected to it would not notice.
Source: https://redis.io/docs/latest/develop/reference/sentinel-clients/
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import quote, urlsplit

from router.errors import StoreRefused, SwitchboardError, Unavailable
from router.settings import RedisSettings
from router.store.connect import Connector
from router.urls import at_server, each_server, join_address, printable_address

SENTINEL_PORT: Final = 26_379
_ASK_EVERY_S: Final = 1.0
_WHERE: Final = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME")


class SentinelConnector(Connector):
    """Opens connections to whichever server is the master now.

    Args:
        url: names the Sentinels, several with commas between them; the rest of it (user, password,
            number of the database) is for the master.
        settings: see `Connector`; with the master's name, and the Sentinels' own password.
        more: see `Connector`.
    """

    def __init__(self, url: str, settings: RedisSettings, *more: Any) -> None:
        super().__init__(url, settings, *more)
        self._name = settings.sentinel_master
        scheme = url.partition("://")[0]
        password = quote(settings.sentinel_password.get_secret_value(), safe="")
        login = f":{password}@" if password else ""
        netlocs = [urlsplit(server).netloc for server in each_server(url, SENTINEL_PORT)]
        hosts = [netloc.rpartition("@")[2] for netloc in netlocs]
        self._sentinels = [f"{scheme}://{login}{host}" for host in hosts]
        self.address = f"{self._name} of the Sentinels " + ", ".join(hosts)
        self._watchers: list[Callable[[str], None]] = []
        self._following = self.services.add("sentinels", self._follow)

    def watch(self, moved: Callable[[str], None]) -> None:
        """See `Connector.watch`."""
        self._watchers.append(moved)
        self._following.start()

    async def unwatch(self, moved: Callable[[str], None]) -> None:
        """See `Connector.watch`."""
        if moved in self._watchers:
            self._watchers.remove(moved)
            if not self._watchers:
                await self._following.stop()

    async def _follow(self) -> None:
        """Ask one Sentinel after the other, each for as long as it answers."""
        while True:
            sentinel = self._sentinels[0]
            try:
                await self._follow_by(sentinel)
            except SwitchboardError:
                if self._sentinels[0] == sentinel:
                    self._sentinels.append(self._sentinels.pop(0))
                await asyncio.sleep(_ASK_EVERY_S * random.uniform(0.5, 1))

    async def _follow_by(self, sentinel: str) -> None:
        """Tell who watches where the master is, as long as this Sentinel answers on one connection.

        What it names anew must say itself that it is the master.
        """
        connection = await self.dial(sentinel)
        known: Any = None
        try:
            while True:
                found = await self.query_on(connection, sentinel, *_WHERE, self._name)
                if found != known:
                    master = printable_address(await self._there())
                    known = found
                for moved in list(self._watchers):
                    moved(master)
                await asyncio.sleep(_ASK_EVERY_S * random.uniform(0.5, 1))
        finally:
            await cast(Any, connection).disconnect(nowait=True)

    async def _there(self) -> str:
        """Return the address of the master, as the first Sentinel says that knows of one.

        The one that has answered is asked first next time. What it names must say itself that it is
        the master: for some seconds after a failover it may not know.
        """
        failure: SwitchboardError = Unavailable(self.address, "no Sentinel is named")
        for sentinel in list(self._sentinels):
            try:
                return await self._ask(sentinel)
            except (Unavailable, StoreRefused) as exc:
                failure = exc
            self._sentinels.append(self._sentinels.pop(0))
        raise failure

    async def _ask(self, sentinel: str) -> str:
        there = printable_address(sentinel)
        try:
            found = await self.query(sentinel, *_WHERE, self._name)
        except StoreRefused as exc:
            mend = "see redis.sentinel_password, and the rights of its user `default`"
            raise StoreRefused(f"the Sentinel at {there} does not answer us: {mend}") from exc
        if not found:
            raise StoreRefused(f"the Sentinel at {there} knows no master '{self._name}'")
        master = at_server(self.url, join_address(found[0].decode(), int(found[1])))
        role = (await self.query(master, "ROLE"))[0].decode()
        if role != "master":
            raise Unavailable(printable_address(master), f"it is a {role}, not the master")
        return master
