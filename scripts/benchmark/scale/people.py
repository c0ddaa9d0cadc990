"""The users of a bench, by number: a million of them need no memory here. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from router.model import DEFAULT_DEVICE, EndpointId, Session, SessionId, UserId

SLICE = 250  # sessions that are registered together: about what a node refreshes in a second
_SINCE = 1_795_000_000
_MULTIPLIER = 0x9E37_79B9_7F4A_7C15  # odd, so no two numbers below 2**64 give the same id


def user_of(number: int) -> UserId:
    """Return the user with this number, 12 characters; greater numbers come later in a listing."""
    return UserId(f"user-{number:07d}")


@dataclass(slots=True)
class People:
    """Users with one session each, spread evenly over endpoints.

    Args:
        users: how many.
        endpoints: in their order.
    """

    users: int
    endpoints: Sequence[EndpointId]

    def session(self, number: int, endpoint: EndpointId | None = None) -> tuple[UserId, Session]:
        """Return a user and their session, by number.

        Args:
            number: of the user.
            endpoint: which holds it; None for the one that the number gives.
        """
        session = SessionId(f"{number * _MULTIPLIER % 2**64:016x}")
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        at = endpoint or self.endpoints[number % len(self.endpoints)]
        return user_of(number), Session(
            session, at, DEFAULT_DEVICE, address, _SINCE + number // 1000
        )

    def slices(self, first: int, last: int) -> Iterator[list[int]]:
        """Yield the users from `first` to before `last`, each time some of one endpoint."""
        wide = SLICE * len(self.endpoints)
        for start in range(first, last, wide):
            for shift in range(len(self.endpoints)):
                some = list(range(start + shift, min(start + wide, last), len(self.endpoints)))
                if some:
                    yield some
