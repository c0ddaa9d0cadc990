"""Endpoints without sockets: members of a real cluster whose sessions are only noted down."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence

from router.aio import Router
from router.codec import Answer, KickEnvelope, MessageEnvelope
from router.member import Member, sender_lease
from router.model import Confirm, EndpointId, Session, SessionId, UserId
from router.settings import Settings
from tests.support.cluster import plain_redis
from tests.support.route_fields import shown

_numbers = itertools.count(1)
_ANSWERS = {
    Confirm.WRITTEN: Answer.WRITTEN,
    Confirm.DELIVERED: Answer.DELIVERED,
    Confirm.ACKED: Answer.ACKED,
}


class Endpoint:
    """Receives for the users attached to it, and answers senders as a node would, or as told.

    Args:
        member: joined.
    """

    def __init__(self, member: Member) -> None:
        self.member = member
        self.member.receiver.recipient = self
        self.messages: list[MessageEnvelope] = []
        self.here: dict[UserId, list[Session]] = {}
        # What is answered for a message that found its user; None for what the sender asked for.
        self.answer: Answer | None = None
        self.silent = False

    @property
    def id(self) -> EndpointId:
        assert self.member.endpoint.id is not None
        return self.member.endpoint.id

    def session(self) -> Session:
        number = next(_numbers)
        return Session(SessionId(f"s{number}"), self.id, "web", "127.0.0.1", float(number))

    async def attach(self, *users: str) -> list[Session]:
        """Hold a new session of each user."""
        made = [(UserId(user), self.session()) for user in users]
        for user, session in made:
            self.here.setdefault(user, []).append(session)
        assert await self.member.transport.attach(made)
        return [session for _, session in made]

    async def detach(self, user: str) -> None:
        """Let the user's sessions here go."""
        for session in self.here.pop(UserId(user), []):
            await self.member.transport.detach(
                UserId(user), self.id, session.session, last_here=True
            )

    def texts(self, user: str | None = None) -> list[str]:
        """Return the data of what came for `user`, or for anybody, in order."""
        return [
            message.data.decode()
            for message in self.messages
            if user is None or user in (message.users or ())
        ]

    # ---- router.receiving.Recipient ---------------------------------------------------------

    def message(self, envelope: MessageEnvelope) -> Sequence[tuple[int, Answer]]:
        missed: list[tuple[int, Answer]] = []
        users = envelope.users or []
        found = [index for index, user in enumerate(users) if UserId(user) in self.here]
        if found:
            self.messages.append(envelope)
        for index in range(len(users)):
            if index not in found:
                missed.append((index, Answer.NOT_HERE))
            elif self.answer in (Answer.DROPPED, Answer.EXPIRED):
                missed.append((index, self.answer))
            elif envelope.sender and not self.silent:
                answer = self.answer or _ANSWERS[Confirm(envelope.confirm)]
                self.member.receipts.add(envelope.sender, envelope.refs[index], answer, 1)
        return missed

    def kick(self, envelope: KickEnvelope) -> int:
        return 0

    def flush(self) -> None:
        pass

    def sessions_of(self, user: UserId) -> Sequence[SessionId]:
        return [session.session for session in self.here.get(user, ())]


class Endpoints:
    """Starts endpoints and senders of one cluster, and looks into the store.

    Args:
        url: of the store.
        settings: of all of them.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = url
        self._exits = contextlib.AsyncExitStack()
        self.settings = settings
        self.redis = plain_redis(url)

    async def start(self, name: str, url: str | None = None) -> Endpoint:
        """Return a new endpoint that reads its inbox; `url` is the store as it shall see it."""
        member = Member(self.settings, url or self._url)
        await member.open()
        self._exits.push_async_callback(member.close)
        await member.join(name)
        return Endpoint(member)

    async def unread(self, name: str) -> EndpointId:
        """Return a new endpoint that never reads its inbox, as a stopped process."""
        async with Router.connect(self._url, self.settings) as opener:
            return await opener.member.leases.open(name, sender_lease())

    async def sender(self, url: str | None = None) -> Router:
        """Return a Router with an inbox for receipts."""
        router = Router.connect(url or self._url, self.settings)
        await router.__aenter__()
        self._exits.push_async_callback(router.close)
        await router.join()
        return router

    async def close(self) -> None:
        await self._exits.aclose()
        await self.redis.aclose()

    def key(self, owner: str, what: str) -> str:
        """Return a key's name."""
        return f"{self.settings.registry.prefix}:{{{owner}}}:{what}"

    async def routes(self, user: str) -> set[str]:
        """Return the endpoints that a user's routes name."""
        fields = await self.redis.hkeys(self.key(user, "routes"))
        return {field.rpartition("/")[0] for field in shown(fields)}

    async def waiting(self, endpoint: EndpointId) -> int:
        """Return how many envelopes wait in an inbox."""
        return int(await self.redis.llen(self.key(endpoint, "inbox")))


@contextlib.asynccontextmanager
async def endpoints(url: str, settings: Settings) -> AsyncIterator[Endpoints]:
    """Run an `Endpoints` for the length of a `with` block."""
    found = Endpoints(url, settings)
    try:
        yield found
    finally:
        await found.close()
