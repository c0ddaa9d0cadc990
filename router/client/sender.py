"""Sends as a program makes them: a call that returns when the outcome is known."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

from router.client.sends import Results, Send, Sends
from router.errors import InvalidRequest, SwitchboardError
from router.model import Confirm, SendResult, UserId
from router.results import encode_data

TIMEOUT_S: Final = 10.0
_KEY_BYTES: Final = 16


class Sender:
    """Waits for outcomes.

    Args:
        sends: takes what is to be written.
        flush: told when there is something to write.
        settled: told when a send waits no more.
        on_outcome: of the program; None for nobody.
    """

    def __init__(
        self,
        sends: Sends,
        flush: Callable[[], None],
        settled: Callable[[], None],
        on_outcome: Callable[[SendResult], None] | None,
    ) -> None:
        self._sends = sends
        self._flush = flush
        self._settled = settled
        self._on_outcome = on_outcome

    async def send(
        self,
        users: Sequence[UserId],
        several: bool,
        data: Any,
        durable: bool,
        confirm: str | Confirm | None,
        ttl: float | None,
        key: str | None,
        timeout: float,
    ) -> Results:
        """Send to `users`, as a list if `several`; see `Client.send` for the rest."""
        if ttl is not None and not ttl > 0:
            raise InvalidRequest("ttl", "must be above 0 seconds, or None for never")
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Results] = loop.create_future()
        send = Send(
            users,
            several,
            encode_data(data),
            lambda what: self._settle(waiter, what),
            timeout,
            durable,
            confirm.name.lower() if isinstance(confirm, Confirm) else confirm,
            secrets.token_hex(_KEY_BYTES) if durable and key is None else key,
            None if ttl is None else loop.time() + ttl,
        )
        self._sends.add(send)
        self._flush()
        try:
            async with asyncio.timeout(timeout):
                return await waiter
        except TimeoutError:
            results = self._sends.out_of_time(send)
            self._tell(results)
            return results
        finally:
            self._sends.forget(send)
            self._settled()

    def _settle(self, waiter: "asyncio.Future[Results]", what: Results | SwitchboardError) -> None:
        if waiter.done():
            return
        if isinstance(what, SwitchboardError):
            waiter.set_exception(what)
        else:
            waiter.set_result(what)
            self._tell(what)

    def _tell(self, results: Results) -> None:
        if self._on_outcome is not None:
            for result in results:
                self._on_outcome(result)
