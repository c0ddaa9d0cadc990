"""The nodes as the registry knows them, and as they answer; what the dead have left."""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from node.certificates import peer_context
from node.checks.finding import Finding, fail, ok, warn
from node.peers import url_of
from router.keys import Keys
from router.model import Endpoint, EndpointId, endpoint_name
from router.settings import Settings
from router.store.lease import Leases
from router.store.resp import id_of
from router.store.store import Store

_ANSWER_S: Final = 3.0
_CLOCK_S: Final = 2.0  # the header Date knows whole seconds
_STATES: Final = frozenset({"live", "draining", "lost"})
_MOST_ASKED: Final = 32


class Answer(NamedTuple):
    """How a node answered, face to face.

    Args:
        ready: its word; None when nobody answers.
        reason: why it is not ready.
        ahead_s: how far its clock is ahead of ours; 0 where it does not say.
    """

    ready: bool | None
    reason: str = ""
    ahead_s: float = 0.0


async def ask(address: str, trust: ssl.SSLContext | None = None) -> Answer:
    """Ask a node whether it is ready.

    Args:
        address: host, colon, port.
        trust: whose certificate is believed; None where nodes speak no TLS.
    """
    try:
        began = time.time()
        answer = await AsyncHTTPClient().fetch(
            f"{url_of(address, secure=trust is not None)}readyz",
            raise_error=False,
            ssl_options=trust,
            connect_timeout=_ANSWER_S,
            request_timeout=_ANSWER_S,
        )
    except (HTTPClientError, OSError, ValueError):
        return Answer(None)
    if answer.code == 599:
        return Answer(None)
    ahead_s = 0.0
    if "Date" in answer.headers:
        date = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        # It cuts its time to whole seconds: it is not ahead if that lies within the asking.
        ahead_s = max(date - time.time(), 0.0) + min(date + 1 - began, 0.0)
    reason = answer.body.decode("utf-8", "replace")[:300] if answer.code != 200 else ""
    return Answer(answer.code == 200, reason, ahead_s)


def leases(nodes: Sequence[Endpoint]) -> Iterator[Finding]:
    """Look at what the nodes say of themselves."""
    alive = [node for node in nodes if node.state != "lost"]
    for node in nodes:
        if node.state == "lost":
            mend = "a live node rescues it within seconds" if alive else "start a node: it rescues"
            says = f"{node.name} is lost, and {node.inbox_length:,} envelopes wait in its inbox"
            yield warn("nodes", says, mend)
        elif node.state not in _STATES:
            mend = "update it, or find out who else writes under registry.prefix"
            yield fail("nodes", f"nobody can read the lease of {node.endpoint}", mend)
    for name, times in Counter(node.name for node in alive).items():
        if times > 1:
            mend = "give each a node.name of its own"
            yield fail("nodes", f"{times} nodes are called {name}", mend)
    if alive:
        yield ok("nodes", f"{len(alive)} alive: {', '.join(sorted(n.name for n in alive)[:8])}")
    else:
        yield warn("nodes", "none is alive", "start one: 'switchboard up' or 'switchboard serve'")


def inboxes(nodes: Sequence[Endpoint], most: int) -> Iterator[Finding]:
    """Find nodes that do not keep up.

    Args:
        nodes: all of them.
        most: `inbox.max_length`.
    """
    for node in nodes:
        if node.state != "lost" and node.inbox_length > most // 2:
            says = f"{node.inbox_length:,} of {most:,} envelopes wait for {node.name}"
            yield warn("inboxes", says, "start more nodes, or see what keeps this one busy")


def foreigners(members: Iterable[bytes]) -> Iterator[Finding]:
    """Find what is no name of ours in the list of endpoints."""
    foreign = [member for member in members if not endpoint_name(EndpointId(id_of(member) or ""))]
    if foreign:
        mend = "give each cluster on one store a registry.prefix of its own"
        says = f"the list of endpoints holds {foreign[0]!r}, which is nobody's"
        yield fail("registry.prefix", says, mend)


def leftovers(listed: Sequence[EndpointId], known: Sequence[Endpoint]) -> Iterator[Finding]:
    """Find names of endpoints that are neither open nor alive."""
    here = {endpoint.endpoint for endpoint in known}
    left = [name for name in listed if name not in here and endpoint_name(name)]
    if left:
        says = f"{len(left)} endpoints are listed and neither open nor alive, as {left[0]}"
        yield warn("leftovers", says, "any live node clears them away; start one if none is")
    else:
        yield ok("leftovers", "the dead have left nothing")


def answered(node: Endpoint, answer: Answer) -> Iterator[Finding]:
    """Say how a node answered."""
    check = f"node {node.name}"
    if answer.ready is None:
        mend = "it must be reachable for the other nodes: see node.host, and firewalls"
        yield warn(check, f"it does not answer at {node.address} from here", mend)
        return
    if abs(answer.ahead_s) > _CLOCK_S:
        mend = "let its machine run NTP (timedatectl set-ntp true)"
        way = "ahead of" if answer.ahead_s > 0 else "behind"
        yield warn(check, f"its clock is {abs(answer.ahead_s):.0f} s {way} ours", mend)
    if not answer.ready and node.state != "draining":
        yield warn(check, f"it is not ready: {answer.reason}", "its log has more")
    else:
        yield ok(check, f"{node.state} at {node.address}")


async def everything(
    store: Store, keys: Keys, known: Leases, settings: Settings
) -> AsyncIterator[Finding]:
    """Look at all of it.

    Args:
        store: open.
        keys: of the cluster.
        known: the endpoints.
        settings: of the cluster.

    Raises:
        Unavailable, StoreRefused: the store went away, or holds something else under our names.
    """
    listed = await known.ids()
    endpoints = await known.describe(listed)
    nodes = [endpoint for endpoint in endpoints if endpoint.role == "node"]
    waiting = inboxes(nodes, settings.inbox.max_length)
    foreign = foreigners(await store.command("SMEMBERS", keys.endpoints))
    for finding in (*leases(nodes), *waiting, *foreign, *leftovers(listed, endpoints)):
        yield finding
    dead = int(await store.command("LLEN", keys.dead))
    if dead:
        mend = f"see them with LRANGE {keys.dead} 0 -1; remove them with DEL {keys.dead}"
        yield warn("dead letters", f"{dead:,} envelopes could not be used", mend)
    alive = [node for node in nodes if node.state in ("live", "draining")][:_MOST_ASKED]
    try:
        trust = peer_context(settings.tls)
    except OSError:  # ssl.SSLError is one; the checks of certificates say why
        return
    answers = await asyncio.gather(*(ask(node.address, trust) for node in alive))
    for node, answer in zip(alive, answers, strict=True):
        for finding in answered(node, answer):
            yield finding
