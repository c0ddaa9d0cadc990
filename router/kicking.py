"""Closing a user's sessions, wherever they are."""

import asyncio

from router.codec import KickEnvelope, encode
from router.errors import InvalidRequest, SwitchboardError
from router.member import Member
from router.model import EndpointId, Outcome, SessionId, UserId
from router.transport.base import Delivery
from router.transport.outbox import Push

MAX_REASON_CHARACTERS = 100  # a close frame holds 123 bytes, and is cut; the goodbye has all of it


def check_reason(reason: str) -> None:
    """Check what a client shall be told when its session is closed.

    Raises:
        InvalidRequest: it is too long, or holds control characters.
    """
    if len(reason) > MAX_REASON_CHARACTERS or not reason.isprintable():
        raise InvalidRequest("reason", f"has at most {MAX_REASON_CHARACTERS} printable characters")


async def kick(
    member: Member, user: UserId, session: SessionId | None, reason: str, timeout_s: float
) -> int:
    """Order each node that holds the user to close, and count what it closed.

    Args:
        member: this process; it must have joined.
        user: whose sessions.
        session: only this one; None for all.
        reason: told to the client.
        timeout_s: how long to wait for the nodes' answers.

    Returns:
        How many sessions were closed, as far as the nodes have answered.

    Raises:
        InvalidRequest: a reason that is too long, or holds control characters.
        Unavailable, StoreRefused: the store is away or refuses, and nothing was closed for sure.
    """
    check_reason(reason)
    sessions = await member.registry.sessions(user)
    endpoints = sorted({s.endpoint for s in sessions if session in (None, s.session)})
    waiting: list[asyncio.Future[int]] = []
    failures: list[SwitchboardError] = []
    for endpoint in endpoints:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiting.append(future)

        def settled(delivery: Delivery, future: asyncio.Future[int] = future) -> None:
            if not future.done():
                future.set_result(delivery.reached)

        delivery = member.sending.track(user, timeout_s, settled)
        delivery.planned((endpoint,))
        order = KickEnvelope(member.sending.own or "", delivery.ref, user, session or "", reason)

        def pushed(arg: Delivery, result: Push, endpoint: EndpointId = endpoint) -> None:
            failure = member.outbox.failure(endpoint, result)
            if failure is not None:
                failures.append(failure)
            if result is Push.PUSHED:
                arg.pushed()
            else:
                arg.refused(Outcome.OFFLINE)
            member.sending.changed(arg)

        member.outbox.push(endpoint, encode(order), pushed, delivery)
    closed = sum([await future for future in waiting])
    if failures and not closed:
        raise failures[0]
    return closed
