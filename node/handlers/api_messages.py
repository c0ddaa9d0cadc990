"""Sending over HTTP: to one user, to a list, to everybody."""

from node import views
from node.auth import Scope
from node.handlers.base import IDEMPOTENCY_KEY, USER_LIST_BYTES, ApiHandler, operation
from node.handlers.schemas import Message, MessageToAll, MessageToMany, TraceQuery, from_query
from router.errors import InvalidRequest, Unsupported
from router.model import OUTCOMES, Confirm, Outcome


class MessagesHandler(ApiHandler):
    """`POST /api/v1/users/{user}/messages`."""

    @operation(
        "Send a message to one user",
        scope=Scope.SEND,
        takes=Message,
        asks=TraceQuery,
        gives=views.Sent,
        statuses=(200, 202, 503, 504),
        keyed=True,
    )
    async def post(self, message: Message, user: str) -> None:
        """Send, and answer with the outcome."""
        query = from_query(self.request.query_arguments, TraceQuery)
        trace = self.watched(noted=query.trace)
        result = await self.router.send(
            user,
            message.data,
            confirm=message.confirm,
            timeout=message.timeout_s,
            ttl=message.ttl_s,
            origin=message.origin or "",
            durable=message.durable,
            key=self.request.headers.get(IDEMPOTENCY_KEY),
            trace=trace,
        )
        noted = trace.id if trace is not None and trace.noted else ""
        self.answer(views.sent(result, noted), OUTCOMES[result.outcome].http_status)


class MessageToManyHandler(ApiHandler):
    """`POST /api/v1/messages`."""

    extra_bytes = USER_LIST_BYTES

    @operation(
        "Send a message to many users",
        scope=Scope.SEND,
        takes=MessageToMany,
        gives=views.SentToMany,
        statuses=(200, 202),
        keyed=True,
    )
    async def post(self, message: MessageToMany) -> None:
        """Send, and answer with an outcome for each user; 202 when all are only accepted."""
        allowed = self.context.limits.now.call_recipients
        if len(message.to) > allowed:
            self.router.member.counts.limit("call_recipients")
            raise InvalidRequest("to", f"has at most {allowed:,} users")
        results = await self.router.send_many(
            message.to,
            message.data,
            confirm=message.confirm,
            timeout=message.timeout_s,
            ttl=message.ttl_s,
            origin=message.origin or "",
            durable=message.durable,
            key=self.request.headers.get(IDEMPOTENCY_KEY),
            trace=self.watched(),
        )
        waiting = (Outcome.ACCEPTED, Outcome.QUEUED)
        all_wait = all(result.outcome in waiting for result in results.values())
        self.answer(views.sent_to_many(results), 202 if all_wait else 200)


class BroadcastHandler(ApiHandler):
    """`POST /api/v1/broadcast`."""

    @operation(
        "Send a message to every session of every user",
        scope=Scope.SEND,
        takes=MessageToAll,
        gives=views.Broadcast,
        statuses=(202,),
    )
    async def post(self, message: MessageToAll) -> None:
        """Send, and answer with the number of nodes that have it."""
        refuse_key(self)
        if Confirm.parse(message.confirm) > Confirm.ACCEPTED:
            raise Unsupported("confirm", "a broadcast can only promise: accepted")
        nodes = await self.router.broadcast(message.data, origin=message.origin or "")
        self.answer(views.Broadcast(nodes), 202)


def refuse_key(handler: ApiHandler) -> None:
    """Refuse an idempotency key where it cannot be kept, rather than ignore it.

    Raises:
        Unsupported: there is one.
    """
    if IDEMPOTENCY_KEY in handler.request.headers:
        raise Unsupported(IDEMPOTENCY_KEY, "a broadcast has no idempotency key")
