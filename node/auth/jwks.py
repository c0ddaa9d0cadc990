"""Keys that lie at a URL: fetched in the background, and kept while it is away."""

import asyncio
import math
import random
from collections.abc import Callable
from typing import Final

import structlog
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from node.auth.keys import KeyRing
from router.counts import Counts

_MAX_BYTES: Final = 256 * 1024
_HEADER_BYTES: Final = 16_384
_DEADLINE_S: Final = 5.0
_FIRST_PAUSE_S: Final = 1.0
_AGAIN_S: Final = 10.0
_log = structlog.get_logger()


class JwksUrl:
    """The keys at `auth.jwks_url`.

    Args:
        url: where.
        read: document -> keys; raises ValueError with a sentence.
        refresh_s: between two fetches; after a failure it is less, and doubles.
        keep_s: how long keys count that cannot be fetched again.
        counts: of the process.
        again_s: a key nobody knows makes us look again, at most once in so long.
    """

    def __init__(
        self,
        url: str,
        read: Callable[[bytes], KeyRing],
        *,
        refresh_s: float,
        keep_s: float,
        counts: Counts,
        again_s: float = _AGAIN_S,
    ) -> None:
        self._url = url
        self._read = read
        self._refresh_s = refresh_s
        self._keep_s = keep_s
        self._again_s = again_s
        self._ring = KeyRing(())
        self._fetched_at = self._tried_at = -math.inf
        self._under_way: asyncio.Task[None] | None = None
        self._in_a_row = 0
        self._counts = counts

    @property
    def ring(self) -> KeyRing:
        """Return the keys that count now."""
        if asyncio.get_running_loop().time() - self._fetched_at > self._keep_s:
            self._ring = KeyRing(())
        return self._ring

    @property
    def trouble(self) -> str | None:
        """Say why no token can be checked; None when they can."""
        return None if self.ring else "the keys of auth.jwks_url could not be fetched yet"

    async def look_again(self) -> None:
        """A token names a key that is not there: look for new ones, unless we just have."""
        if asyncio.get_running_loop().time() - self._tried_at >= self._again_s:
            self._begin()
        if self._under_way is not None:
            await asyncio.wait([self._under_way])

    async def run(self) -> None:
        """Fetch the keys again and again. For a `Service`."""
        try:
            while True:
                await asyncio.wait([self._begin()])
                longest_s = self._refresh_s
                if self._in_a_row:
                    longest_s = min(longest_s, _FIRST_PAUSE_S * 2.0 ** min(self._in_a_row - 1, 20))
                await asyncio.sleep(longest_s * random.uniform(0.5, 1))
        finally:
            if self._under_way is not None:
                self._under_way.cancel()

    def _begin(self) -> "asyncio.Task[None]":
        """Fetch, or wait with others for the fetch that is under way."""
        if self._under_way is None:
            self._tried_at = asyncio.get_running_loop().time()
            self._under_way = asyncio.create_task(self._fetch(), name="fetch keys")
        return self._under_way

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(_DEADLINE_S):
                self._ring = self._read(await self._get())
        except Exception as exc:  # noqa: BLE001 - a library's many errors; the next try is near
            self._counts.failed("keys")
            self._in_a_row += 1
            _log.warning("keys could not be fetched", url=self._url, error=_words(exc))
        else:
            self._in_a_row = 0
            self._fetched_at = asyncio.get_running_loop().time()
        finally:
            self._under_way = None

    async def _get(self) -> bytes:
        """Return what lies at the address; a redirect to another one is not followed."""
        client = SimpleAsyncHTTPClient(
            force_instance=True, max_body_size=_MAX_BYTES, max_header_size=_HEADER_BYTES
        )
        asking = client.fetch(
            self._url,
            follow_redirects=False,
            connect_timeout=_DEADLINE_S,
            request_timeout=_DEADLINE_S,
            decompress_response=False,
            headers={"Accept": "application/jwk-set+json, application/json"},
        )
        # Not cancelled with us: of what became of a cancelled request Tornado logs an error, and of
        # an error that nobody hears asyncio does.
        asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        try:
            answer = await asyncio.shield(asking)
        finally:
            client.close()
        return answer.body


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
