"""Every Redis key name, and nowhere else (docs/protocol.md, section 1).

Each key carries one hash tag, so all keys of one user, and all of one endpoint, live in one
Cluster slot and one script may touch them together.
"""

from dataclasses import dataclass

from router.model import EndpointId, UserId


@dataclass(frozen=True, slots=True)
class Keys:
    """Builds key names under one prefix.

    Args:
        prefix: what every key starts with; two clusters on one Redis differ in it.
    """

    prefix: str = "sb"

    @property
    def endpoints(self) -> str:
        """Set of every endpoint that has not been cleaned up."""
        return f"{self.prefix}:endpoints"

    def routes(self, user: UserId) -> str:
        """Hash: `endpoint/session`, packed by `store.fields` -> entry."""
        return f"{self.prefix}:{{{user}}}:routes"

    def seen(self, user: UserId) -> str:
        """String: when the user's last session left."""
        return f"{self.prefix}:{{{user}}}:seen"

    def mail(self, user: UserId) -> str:
        """Stream: the user's durable messages; an entry's id is its offset."""
        return f"{self.prefix}:{{{user}}}:mail"

    def cursors(self, user: UserId) -> str:
        """Hash: device -> how far it has acknowledged, and when; "" -> how far `mail` is cut."""
        return f"{self.prefix}:{{{user}}}:cursors"

    def key(self, user: UserId, key: str) -> str:
        """String with a TTL: idempotency key, `origin key` -> id of the message it stood for."""
        return f"{self.prefix}:{{{user}}}:key:{key}"

    def open(self, endpoint: EndpointId) -> str:
        """String: exists while the endpoint may receive."""
        return f"{self.prefix}:{{{endpoint}}}:open"

    def lease(self, endpoint: EndpointId) -> str:
        """String with a TTL: the endpoint was alive lately."""
        return f"{self.prefix}:{{{endpoint}}}:lease"

    def inbox(self, endpoint: EndpointId) -> str:
        """List: envelopes for the endpoint, head first."""
        return f"{self.prefix}:{{{endpoint}}}:inbox"

    def done(self, endpoint: EndpointId) -> str:
        """Integer: how many envelopes were ever removed from the inbox."""
        return f"{self.prefix}:{{{endpoint}}}:done"

    def rescued(self, endpoint: EndpointId) -> str:
        """List: the inbox of a fenced endpoint, on its way through the registry again."""
        return f"{self.prefix}:{{{endpoint}}}:rescued"

    def rescuer(self, endpoint: EndpointId) -> str:
        """String with a TTL: token of who rescues the endpoint."""
        return f"{self.prefix}:{{{endpoint}}}:rescuer"

    def users(self, endpoint: EndpointId) -> str:
        """Sorted set, all scores 0: users with a session on the endpoint, in byte order."""
        return f"{self.prefix}:{{{endpoint}}}:users"

    def ticket(self, ticket: str) -> str:
        """String with a TTL: who has a one-time ticket, under its SHA-256."""
        return f"{self.prefix}:{{{ticket}}}:ticket"

    @property
    def everybody(self) -> str:
        """Pub/Sub channel of the mode `broadcast`."""
        return f"{self.prefix}:everybody"

    def channel(self, user: UserId) -> str:
        """Pub/Sub channel of one user, in the mode `channel`."""
        return f"{self.prefix}:{{{user}}}:channel"

    def steps(self, trace: str) -> str:
        """List with a TTL: the steps of one message that somebody watches."""
        return f"{self.prefix}:{{{trace}}}:steps"

    @property
    def dead(self) -> str:
        """List, capped: inbox entries that were not envelopes."""
        return f"{self.prefix}:dead"
