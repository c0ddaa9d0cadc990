"""What the API answers and `--json` prints: one typed shape each, made from the router's words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from router.model import (
    Confirm,
    Endpoint,
    OnlineUser,
    Outcome,
    SendResult,
    Session,
    UserId,
    UserStatus,
)
from router.tracing import Noted, Step

_Time = Annotated[float, Meta(description="seconds since 1970")]
_Rate = Annotated[float, Meta(description="per second, over the last heartbeats")]
_Total = Annotated[int, Meta(description="since the process started")]


class Sent(Struct, frozen=True, omit_defaults=True):
    """What became of a message to one user."""

    id: Annotated[str, Meta(description="the message's id")]
    user: str
    outcome: Outcome
    sessions: Annotated[int, Meta(description="live sessions the registry named")]
    reason: Annotated[str, Meta(description="where the outcome leaves it open")] = ""
    trace: Annotated[str, Meta(description="where its steps are kept, if they are")] = ""


class Ticket(Struct, frozen=True):
    """A one-time ticket for a WebSocket."""

    ticket: Annotated[str, Meta(description="for `/ws?token=`; it counts once, and only now")]
    expires_at: _Time


class SentToMany(Struct, frozen=True, omit_defaults=True):
    """What became of a message to many users."""

    id: Annotated[str, Meta(description="the message's id, the same for all of them")]
    outcomes: Annotated[dict[UserId, Outcome], Meta(description="user -> outcome")]
    reasons: Annotated[
        dict[UserId, str], Meta(description="user -> reason, where the outcome leaves it open")
    ] = {}


class Broadcast(Struct, frozen=True):
    """How far a broadcast came."""

    nodes: Annotated[int, Meta(description="nodes that have it in their inbox")]


class OnlineRow(Struct, frozen=True):
    """One line of the online registry."""

    user: str
    sessions: Annotated[int, Meta(description="live sessions")]
    nodes: Annotated[list[str], Meta(description="names of the nodes that hold them")]
    since: _Time


class OnlinePage(Struct, frozen=True):
    """One page of the online registry."""

    users: list[OnlineRow]
    cursor: Annotated[str | None, Meta(description="of the next page; null at the end")]


class Located(Struct, frozen=True):
    """Which of the users asked for are online, and where."""

    online: Annotated[dict[UserId, list[str]], Meta(description="user -> names of nodes")]


class SessionRow(Struct, frozen=True):
    """One live session."""

    session: str
    node: str
    endpoint: str
    device: str
    address: str
    since: _Time


class User(Struct, frozen=True):
    """One user as the registry knows them."""

    user: str
    online: bool
    sessions: Annotated[list[SessionRow], Meta(description="oldest first")]
    mailbox: Annotated[int, Meta(description="stored durable messages")]
    last_seen: Annotated[
        float | None, Meta(description="when the last session left; null while online, or unknown")
    ]


class Closed(Struct, frozen=True):
    """How many sessions were closed."""

    closed: int


class NodeRow(Struct, frozen=True):
    """One node as its lease describes it."""

    name: str
    endpoint: str
    pid: int
    address: str
    state: Annotated[str, Meta(description="live, draining or lost")]
    sessions: Annotated[int, Meta(description="live sessions")]
    inbox: Annotated[int, Meta(description="envelopes waiting in its inbox")]
    heartbeat_age_s: Annotated[
        float | None, Meta(description="since its last heartbeat; null when its lease has ended")
    ]
    received: _Total
    delivered: _Total
    received_per_second: _Rate
    delivered_per_second: _Rate


class Nodes(Struct, frozen=True):
    """Every node that has not been cleaned up."""

    nodes: Annotated[list[NodeRow], Meta(description="by name")]


class Drained(Struct, frozen=True):
    """A node that was told to leave."""

    node: Annotated[str, Meta(description="its name")]
    endpoint: str


class Stats(Struct, frozen=True):
    """The whole cluster: how it delivers, and the sums over its nodes."""

    mode: Annotated[str, Meta(description="how messages travel: `delivery.mode`")]
    confirms: Annotated[
        list[str], Meta(description="the values of `confirm` that this mode can promise, rising")
    ]
    nodes: Annotated[int, Meta(description="nodes that are not lost")]
    lost: Annotated[int, Meta(description="nodes whose lease has ended")]
    sessions: Annotated[int, Meta(description="live sessions")]
    inbox: Annotated[int, Meta(description="envelopes waiting in the nodes' inboxes")]
    received: _Total
    delivered: _Total
    received_per_second: _Rate
    delivered_per_second: _Rate


class StepRow(Struct, frozen=True):
    """One step of a message."""

    at: Annotated[float, Meta(description="seconds since 1970 by the store's clock")]
    node: Annotated[str, Meta(description="name of the node, or sender, that says so")]
    step: Annotated[Step, Meta(description="what happened")]
    detail: Annotated[str, Meta(description="more words for people")]


class MessageTrace(Struct, frozen=True):
    """The steps of a message that somebody watches."""

    trace: str
    steps: Annotated[list[StepRow], Meta(description="in order; none after a minute")]


class Health(Struct, frozen=True):
    """The process is up."""

    ok: bool


class Readiness(Struct, frozen=True, omit_defaults=True):
    """Whether new sessions should come here."""

    ready: bool
    reason: Annotated[str, Meta(description="why not")] = ""


def sent(result: SendResult, trace: str = "") -> Sent:
    """Return the view of one send; `trace` is where its steps are kept, if they are."""
    return Sent(result.id, result.user, result.outcome, result.sessions, result.reason, trace)


def message_trace(trace: str, steps: Iterable[Noted]) -> MessageTrace:
    """Return the view of the steps of one message."""
    rows = [StepRow(step.at, step.node, step.step, step.detail) for step in steps]
    return MessageTrace(trace, rows)


def sent_to_many(results: Mapping[UserId, SendResult]) -> SentToMany:
    """Return the view of a send to at least one user."""
    first = next(iter(results.values()))
    return SentToMany(
        first.id,
        {user: result.outcome for user, result in results.items()},
        {user: result.reason for user, result in results.items() if result.reason},
    )


def online_page(users: Iterable[OnlineUser], cursor: str | None) -> OnlinePage:
    """Return the view of one page of the online users."""
    rows = [OnlineRow(user.user, user.sessions, list(user.nodes), user.since) for user in users]
    return OnlinePage(rows, cursor)


def user(status: UserStatus) -> User:
    """Return the view of one user."""
    sessions = [_session(session) for session in status.sessions]
    return User(status.user, status.online, sessions, status.mailbox, status.last_seen)


def _session(session: Session) -> SessionRow:
    return SessionRow(
        session=session.session,
        node=session.node,
        endpoint=session.endpoint,
        device=session.device,
        address=session.address,
        since=session.since,
    )


def nodes(endpoints: Iterable[Endpoint]) -> Nodes:
    """Return the view of the cluster's nodes."""
    return Nodes([_node(endpoint) for endpoint in endpoints])


def _node(endpoint: Endpoint) -> NodeRow:
    return NodeRow(
        name=endpoint.name,
        endpoint=endpoint.endpoint,
        pid=endpoint.pid,
        address=endpoint.address,
        state=endpoint.state,
        sessions=endpoint.sessions,
        inbox=endpoint.inbox_length,
        heartbeat_age_s=endpoint.heartbeat_age_seconds,
        received=endpoint.received,
        delivered=endpoint.delivered,
        received_per_second=endpoint.received_per_second,
        delivered_per_second=endpoint.delivered_per_second,
    )


def stats(endpoints: Sequence[Endpoint], mode: str, confirms: Iterable[Confirm]) -> Stats:
    """Return how the cluster delivers, and the sums over its nodes.

    The inbox of a lost node counts too: what waits there is not gone.

    Args:
        endpoints: the nodes.
        mode: `delivery.mode`.
        confirms: what it can promise.
    """
    lost = sum(endpoint.state == "lost" for endpoint in endpoints)
    return Stats(
        mode=mode,
        confirms=[level.name.lower() for level in sorted(confirms)],
        nodes=len(endpoints) - lost,
        lost=lost,
        sessions=sum(endpoint.sessions for endpoint in endpoints),
        inbox=sum(endpoint.inbox_length for endpoint in endpoints),
        received=sum(endpoint.received for endpoint in endpoints),
        delivered=sum(endpoint.delivered for endpoint in endpoints),
        received_per_second=sum(endpoint.received_per_second for endpoint in endpoints),
        delivered_per_second=sum(endpoint.delivered_per_second for endpoint in endpoints),
    )
