"""The other nodes, as one of them sees them: in the registry, and face to face."""

import asyncio
import random
import ssl
from collections.abc import Callable, Sequence
from typing import Final

from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from node.certificates import peer_context
from router.model import EndpointId
from router.settings import TlsSettings
from router.store.lease import Leases

_CONNECT_S: Final = 2.0
_ANSWER_S: Final = 5.0
_ASKED: Final = 3


async def readiness(url: str, trust: ssl.SSLContext | None = None) -> bool | None:
    """Ask a node whether it would take sessions now.

    Args:
        url: its address, with a slash at the end.
        trust: whose certificate is believed; None for what the system thinks.

    Returns:
        Its answer; None when nobody answers.

    Cancel-safe: the request goes on until its time is over, and nobody hears of it.
    """
    asking = AsyncHTTPClient().fetch(
        f"{url}readyz",
        raise_error=False,
        connect_timeout=_CONNECT_S,
        request_timeout=_ANSWER_S,
        ssl_options=trust,
    )
    # Whoever asks may stop asking. Of what became of a cancelled request Tornado logs an error, and
    # of an error that nobody hears asyncio does.
    asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
    try:
        answer = await asyncio.shield(asking)
    except (HTTPClientError, OSError):  # what is wrong with a certificate is an OSError, too
        return None
    return None if answer.code == 599 else answer.code == 200


def url_of(address: str, *, secure: bool) -> str:
    """Return the URL of a node's page from the `host:port` of its lease.

    Args:
        address: host, colon, port.
        secure: whether nodes speak TLS.
    """
    host, _, port = address.rpartition(":")
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def better_there(answers: Sequence[bool | None]) -> bool | None:
    """Say whether sessions of a node without store are better off elsewhere.

    Args:
        answers: of other nodes to `readiness`; none when there are no others.

    Returns:
        True if some other node would take them. False if those that answer have no store either:
        then it is the store that is away, and the sessions may as well wait where they are; and
        if there are no others. None if there are, and nobody answers: they may be too busy, or it
        is this node that is cut off from them.
    """
    if any(answers):
        return True
    return None if answers and all(answer is None for answer in answers) else False


class Peers:
    """The nodes beside this one.

    Args:
        leases: the endpoints in the store.
        own: returns this node's endpoint.
        tls: of this node; the others have TLS if it has.
    """

    def __init__(
        self, leases: Leases, own: Callable[[], EndpointId | None], tls: TlsSettings
    ) -> None:
        self._tls = tls
        self._leases = leases
        self._own = own
        self._addresses: list[str] = []

    async def look(self, most: int | None = None) -> bool:
        """Look into the registry; return whether another node lives that is not leaving.

        Args:
            most: look at so many endpoints at most, chosen at random: every node looks now and
                then, so looking at all each time would cost the square of their number. None for
                all, to be sure of the answer.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses.
        """
        ids = await self._leases.ids() if most is None else (await self._leases.some(most))[0]
        endpoints = await self._leases.describe(ids)
        self._addresses = [
            endpoint.address
            for endpoint in endpoints
            if (endpoint.role, endpoint.state) == ("node", "live")
            and endpoint.endpoint != self._own()
        ]
        return bool(self._addresses)

    async def better_there(self) -> bool | None:
        """Ask some of the nodes last seen, without the store; see `better_there` above."""
        asked = random.sample(self._addresses, min(_ASKED, len(self._addresses)))
        trust = peer_context(self._tls)
        urls = [url_of(address, secure=trust is not None) for address in asked]
        return better_there(await asyncio.gather(*(readiness(url, trust) for url in urls)))
