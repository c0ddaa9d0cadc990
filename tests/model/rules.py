"""What stays the same while a configuration is explored: who there is, and which rules hold."""

from dataclasses import dataclass, field
from typing import Final

from tests.model.draft import Draft
from tests.model.state import Budget, Message, State

MAX_HOPS: Final = 3
MAX_DETOURS: Final = 3


@dataclass(frozen=True, slots=True)
class Configuration:
    """One small cluster to be explored.

    Args:
        messages: words `id` or `id:user`; an upper-case id is durable, no user means `u`.
        nodes: their names, one letter each.
        sessions: how many the clients may open in all, those at the start included.
        devices: of the user of the first message; each other user has one.
        absent: who is not connected at the start: `u`, or `u1` for one device only.
        cached: users whose first route the senders have in their cache.
        idle: peeks may time out.
        slow_receipts: receipts take a step of their own.
        since: clients name the last offset they have when they connect.
        grouped: all messages are sent by one Router, in order; so many copies fit into one push.
        budget: faults.
    """

    messages: str
    nodes: str = "AB"
    sessions: int = 1
    devices: int = 1
    absent: str = ""
    cached: str = ""
    idle: bool = False
    slow_receipts: bool = False
    since: bool = False
    grouped: int = 0
    budget: Budget = field(default_factory=Budget)


class Rules:
    """A configuration with the rules that are broken in it.

    Args:
        configuration: who there is.
        broken: names of mutants.
        closing: no more faults, and everything that is started comes to its end.
    """

    __slots__ = (
        "broken",
        "closing",
        "configuration",
        "durable",
        "initial_cache",
        "mailbox",
        "messages",
        "people",
    )

    def __init__(
        self,
        configuration: Configuration,
        broken: frozenset[str] = frozenset(),
        *,
        closing: bool = False,
    ) -> None:
        self.configuration = configuration
        self.broken = broken
        self.closing = closing
        self.messages = tuple(_message(word) for word in configuration.messages.split())
        users = sorted({message.user for message in self.messages})
        first = self.messages[0].user
        self.people: tuple[tuple[str, int], ...] = tuple(
            (user, device)
            for user in users
            for device in range(configuration.devices if user == first else 1)
        )
        # One user has a mailbox, if anybody has.
        self.mailbox = next((each.user for each in self.messages if each.durable), "")
        self.durable = bool(self.mailbox)
        self.initial_cache: dict[str, tuple[str, ...]] = {}

    def spend(self, state: State, fault: str) -> Draft | None:
        """Return a draft in which one fault of a kind is spent; None if there is none left."""
        left = getattr(state.budget, fault)
        if self.closing or not left:
            return None
        draft = Draft(state)
        draft.budget = state.budget._replace(**{fault: left - 1})
        return draft


def _message(word: str) -> Message:
    name, _, user = word.partition(":")
    return Message(name, user or "u", name.isupper())
