"""Users with the client SDK, who come through a balancer and note what happens to them."""

import ssl
from collections import Counter
from collections.abc import Iterable
from typing import Any

from router.client import Client, Message, Open, Options, State
from router.model import Offset
from tests.support.tokens import token

_OPTIONS = Options(retry_cap_s=2.0)


class Visitor:
    """One user: connected whenever they can be.

    Args:
        user: who.
        url: of the balancer.
        tls: what its certificate is checked with.
        options: of the client.
    """

    def __init__(
        self, user: str, url: str, tls: ssl.SSLContext, options: Options = _OPTIONS
    ) -> None:
        self.user = user
        self.received: list[Any] = []
        self.fell: list[str] = []
        self.nodes: list[str] = []
        self.gaps = 0
        self._last = ""
        self._client = Client(
            url,
            token=token(user),
            tls=tls,
            on_message=self._take,
            on_state=self._note,
            on_gap=self._miss,
            options=options,
        )

    def start(self) -> None:
        """Connect, and stay connected until `stop`."""
        self._client.start()

    async def stop(self) -> None:
        """Say goodbye."""
        await self._client.close()

    @property
    def node(self) -> str:
        """Return the node that holds them now; "" for none."""
        state = self._client.state
        return state.node if isinstance(state, Open) else ""

    def _take(self, message: Message) -> None:
        self.received.append(message.data)
        if message.offset:
            if self._last and Offset.parse(message.offset) <= Offset.parse(self._last):
                self.fell.append(message.offset)
            self._last = message.offset

    def _note(self, state: State) -> None:
        if isinstance(state, Open):
            self.nodes.append(state.node)

    def _miss(self) -> None:
        self.gaps += 1


def places_of(visitors: Iterable[Visitor]) -> Counter[str]:
    """Return how many each node holds; "" for those whom none does."""
    return Counter(visitor.node for visitor in visitors)
