"""Which message goes to whom and what it says.

Pure: every process computes the same plan from the same few numbers, so no list of messages
has to travel between them and none of them has to be believed.
"""

from dataclasses import asdict, dataclass
from random import Random
from typing import Any, Self

import msgspec

MIN_SIZE_BYTES = 64
_MULTIPLIER = 2_654_435_761  # Knuth's; any odd number that spreads n over the digits would do


def user_name(index: int) -> str:
    """Return the id of the user with this index."""
    return f"u{index:05d}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The messages of one cell.

    Args:
        run: number of the cell in this run; tells a late message of an earlier cell apart.
        seed: the same for all modes of one repeat, so that they carry the same load.
        users: how many users there are.
        messages: how many messages are sent.
        size_bytes: length of each message's data as compact JSON.
        group: to how many users each message goes: the one drawn and those that follow.
    """

    run: int
    seed: int
    users: int
    messages: int
    size_bytes: int
    group: int = 1

    @property
    def deliveries(self) -> int:
        """Return how many frames the clients must receive."""
        return self.messages * self.group

    @classmethod
    def load(cls, raw: dict[str, Any]) -> Self:
        """Return the plan that `dump` described."""
        return cls(**raw)

    def dump(self) -> dict[str, Any]:
        """Return the plan as JSON types."""
        return asdict(self)

    def recipients(self) -> list[int]:
        """Return the first user index of each message, drawn evenly, the same each time."""
        return Random(self.seed).choices(range(self.users), k=self.messages)

    def members(self, first: int) -> list[int]:
        """Return the user indices of a message whose first is `first`."""
        return [(first + k) % self.users for k in range(self.group)]

    def data(self, n: int, user: int) -> dict[str, Any]:
        """Return the data of message `n` whose first user has index `user`."""
        data = {"run": self.run, "n": n, "to": user_name(user), "pad": ""}
        missing = self.size_bytes - len(msgspec.json.encode(data))
        digits = str((n + 1) * _MULTIPLIER)
        data["pad"] = (digits * (missing // len(digits) + 1))[: max(missing, 0)]
        return data


def message_frame(plan: Plan, n: int, user: int, sent_at: float) -> bytes:
    """Return the text a client reads, as the product writes it (INTERFACE section 4).

    Args:
        sent_at: seconds since 1970.
    """
    return msgspec.json.encode(
        {
            "type": "message",
            "id": f"bench-{plan.run}-{n}",
            "from": "bench",
            "data": plan.data(n, user),
            "sent_at": sent_at,
        }
    )
