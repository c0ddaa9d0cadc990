"""Router for blocking programs: Django, Flask, Celery, cron.

The same Router, on an event loop of its own in a thread of its own. One of these may be shared by
all threads of a process; after a fork each process makes its own.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from router import aio
from router.directory import MAX_PAGE
from router.errors import SwitchboardError
from router.model import (
    Confirm,
    Endpoint,
    EndpointId,
    OnlineUser,
    SendResult,
    Session,
    UserId,
    UserStatus,
)
from router.settings import Settings

T = TypeVar("T")


class RouterClosed(SwitchboardError):
    """A blocking Router that was not entered, was closed, or belongs to the parent of a fork."""

    code = "unavailable"

    def __str__(self) -> str:
        return "this Router is not open here: use it inside 'with', and make a new one after a fork"


class Router:
    """The face of Switchboard for blocking programs.

    Use it as a context manager::

        with Router.connect("redis://localhost:6379") as router:
            print(router.send("alice", {"order": 42}).outcome)

    Arguments, results and errors of each method are those of `router.aio.Router`.

    Args:
        router: not entered yet.
    """

    def __init__(self, router: aio.Router) -> None:
        self._router = router
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    @classmethod
    def connect(cls, url: str, settings: Settings | None = None) -> Self:
        """Return a Router for the store at `url`; entering it connects."""
        return cls(aio.Router.connect(url, settings))

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return a Router for the store that `settings` name; entering it connects."""
        return cls(aio.Router.from_settings(settings))

    @classmethod
    def from_config(cls, path: str | Path) -> Self:
        """Return a Router for the cluster of a config file; entering it connects."""
        return cls(aio.Router.from_config(path))

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="switchboard", daemon=True
        )
        self._thread.start()
        self._pid = os.getpid()
        try:
            self._wait(self._router.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the endpoint back, disconnect and end the thread; a second call does nothing."""
        if self._loop is not None and self._pid == os.getpid():
            try:
                self._wait(self._router.close())
            finally:
                self._stop()

    def send(
        self,
        user: str,
        data: Any,
        *,
        confirm: str | Confirm | None = None,
        timeout: float | None = None,
        ttl: float | None = None,
        origin: str = "",
        durable: bool = False,
        key: str | None = None,
        id: str | None = None,
    ) -> SendResult:
        """Send one message to one user and return what became of it."""
        return self._wait(
            self._router.send(
                user,
                data,
                confirm=confirm,
                timeout=timeout,
                ttl=ttl,
                origin=origin,
                durable=durable,
                key=key,
                id=id,
            )
        )

    def send_many(
        self,
        users: Iterable[str],
        data: Any,
        *,
        confirm: str | Confirm = Confirm.ACCEPTED,
        timeout: float | None = None,
        ttl: float | None = None,
        origin: str = "",
        durable: bool = False,
        key: str | None = None,
    ) -> dict[UserId, SendResult]:
        """Send one message to many users; one envelope per node, not one per user."""
        return self._wait(
            self._router.send_many(
                list(users),
                data,
                confirm=confirm,
                timeout=timeout,
                ttl=ttl,
                origin=origin,
                durable=durable,
                key=key,
            )
        )

    def broadcast(self, data: Any, *, origin: str = "") -> int:
        """Send one message to every session of every user; return how many nodes have it."""
        return self._wait(self._router.broadcast(data, origin=origin))

    def sessions(self, user: str) -> list[Session]:
        """Return a user's live sessions, oldest first; [] when offline."""
        return self._wait(self._router.sessions(user))

    def user(self, user: str) -> UserStatus:
        """Return what is known of one user."""
        return self._wait(self._router.user(user))

    def users(self, *, node: str | None = None, prefix: str = "") -> Iterator[OnlineUser]:
        """Yield the online users in the order of their ids' bytes, page by page."""
        cursor: str | None = ""
        while cursor is not None:
            page, cursor = self.page(node=node, prefix=prefix, limit=MAX_PAGE, cursor=cursor)
            yield from page

    def page(
        self, *, node: str | None = None, prefix: str = "", limit: int = 50, cursor: str = ""
    ) -> tuple[list[OnlineUser], str | None]:
        """Return one page of the online users, and the cursor of the next; None at the end."""
        return self._wait(self._router.page(node=node, prefix=prefix, limit=limit, cursor=cursor))

    def locate(self, users: Sequence[str]) -> dict[UserId, list[str]]:
        """Return, for each of `users` that is online, the names of its nodes."""
        return self._wait(self._router.locate(users))

    def nodes(self) -> list[Endpoint]:
        """Return every node that has not been cleaned up, by name."""
        return self._wait(self._router.nodes())

    def drain(self, node: str) -> EndpointId:
        """Order a node to leave the cluster, as SIGTERM would; its sessions go to the others."""
        return self._wait(self._router.drain(node))

    def kick(self, user: str, *, session: str | None = None, reason: str = "") -> int:
        """Close a user's sessions, wherever they are; return how many."""
        return self._wait(self._router.kick(user, session=session, reason=reason))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop and wait; a KeyboardInterrupt here cancels it there."""
        if self._loop is None or self._pid != os.getpid():
            work.close()
            raise RouterClosed
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _stop(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None
