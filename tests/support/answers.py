"""What senders are told by a node's receipts, without a store: they are answered on the spot."""

from collections.abc import Sequence

from router.codec import Answer
from router.keys import Keys
from router.model import EndpointId
from router.receipts import Receipts
from router.settings import RedisSettings
from router.store.connect import Connector
from router.store.modes import make_store
from router.transport.outbox import Outbox
from tests.support.rooms import room
from tests.support.waiting import rounds

SENDER = "sender.1"


class Answers:
    """The answers to `SENDER`, as (ref, answer, sessions)."""

    def __init__(self) -> None:
        away = make_store(Connector("unix:///nowhere", RedisSettings()), "unused")
        self.receipts = Receipts(Outbox(away, Keys("unused"), room(10), 10), self._take)
        self.receipts.own = EndpointId(SENDER)
        self._answers: list[tuple[int, Answer, int]] = []

    def _take(self, items: Sequence[int]) -> None:
        for i in range(0, len(items), 3):
            self._answers.append((items[i], Answer(items[i + 1]), items[i + 2]))

    async def heard(self) -> list[tuple[int, Answer, int]]:
        """Return what came since the last call."""
        await rounds()
        answers, self._answers = self._answers, []
        return answers
