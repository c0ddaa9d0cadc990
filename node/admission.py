"""Which handshakes go on, and which are too many."""

import ipaddress
from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol

from node.pace import Buckets, Limits, Turns
from router.counts import Counts
from router.errors import TooMany
from router.model import UserId

_LATER_S: Final = 5.0
_IPV6_NETWORK_BITS: Final = 64


class Full(Exception):
    """This node takes no more sessions now; another one may.

    Args:
        reason: in words.
        retry_after_s: when to ask again.
    """

    def __init__(self, reason: str, retry_after_s: float) -> None:
        super().__init__(reason, retry_after_s)
        self.reason = reason
        self.retry_after_s = retry_after_s


class Sessions(Protocol):
    """Who is here: a `Hub`."""

    def __len__(self) -> int:
        """Return how many sessions there are."""

    def get(self, user: UserId) -> Sequence[object]:
        """Return those of a user."""


class Admission:
    """Counts handshakes, and the sessions that come of them.

    Args:
        limits: in force.
        counts: of the process.
        sessions: those that there are.
        mode: `auth.mode`; in "dev" all have one address, and its limits hold for nobody.
    """

    def __init__(
        self,
        limits: Limits,
        counts: Counts,
        sessions: Sessions,
        mode: str,
    ) -> None:
        self.limits = limits
        self.counts = counts
        self._sessions = sessions
        self.by_address = mode != "dev"
        self.room: int | None = None  # sessions that fit on this machine, when it is known
        self._here: Counter[str] = Counter()
        self._handshakes: Buckets[str] = Buckets()
        self._turns = Turns()

    def ask(self, address: str, now: float, roll: float) -> None:
        """Let a handshake go on, whoever it may be from.

        What one address has too many of does not count for the node.

        Args:
            address: of the client.
            now: seconds.
            roll: a random number in [0, 1), so that those sent away come back one by one.

        Raises:
            TooMany: from this address.
            Full: on this node.
        """
        limits = self.limits.now
        if self.by_address:
            self._ask_address(network_of(address), now)
        most = limits.sessions if self.room is None else min(limits.sessions, self.room)
        if len(self._sessions) >= most:
            self.counts.limit("sessions")
            words = f"this node has its {most:,} sessions (limits.sessions)"
            raise Full(words, _LATER_S * (1.0 + 2.0 * roll))
        after_s = self._turns.ask(limits.handshakes_per_second, now)
        if after_s:
            self.counts.limit("handshakes")
            rate = f"{limits.handshakes_per_second:g}"
            words = f"more than {rate} handshakes a second (limits.handshakes_per_second)"
            raise Full(words, after_s)

    def _ask_address(self, network: str, now: float) -> None:
        limits = self.limits.now
        if self._here[network] >= limits.address_sessions:
            self.counts.limit("address_sessions")
            words = f"{network} has {limits.address_sessions:,} sessions here already"
            raise TooMany("limits.address_sessions", words, _LATER_S)
        rate, burst = limits.address_handshakes_per_second, limits.address_handshakes_burst
        after_s = self._handshakes.take(network, 1, rate, burst, now)
        if after_s:
            self.counts.limit("address_handshakes")
            words = f"more than {rate:g} handshakes a second from {network}"
            raise TooMany("limits.address_handshakes_per_second", words, after_s)

    def ask_user(self, user: UserId) -> None:
        """Let a user have one more session.

        Raises:
            TooMany: they have as many as they may.
        """
        allowed = self.limits.now.user_sessions
        if len(self._sessions.get(user)) >= allowed:
            self.counts.limit("user_sessions")
            words = f"this user has {allowed} sessions on this node already"
            raise TooMany("limits.user_sessions", words, _LATER_S)

    def came(self, address: str) -> None:
        """Note a session from this address."""
        if self.by_address:
            self._here[network_of(address)] += 1

    def left(self, address: str) -> None:
        """Note its end."""
        if self.by_address:
            network = network_of(address)
            self._here[network] -= 1
            if self._here[network] <= 0:
                del self._here[network]


def network_of(address: str) -> str:
    """Return whose an address is: an IPv6 client has a whole /64 network to choose from."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), _IPV6_NETWORK_BITS), strict=False))
