"""What a watched send tells its span, in whatever order its answers come."""

from collections.abc import AsyncIterator

import pytest

from router.codec import Answer
from router.member import Member
from router.model import Confirm, EndpointId, UserId
from router.store.embedded import EmbeddedServer
from router.trace import Trace
from router.transport.base import Delivery
from router.watching import Watch, WatchedDelivery
from tests.support.cluster import fast_settings


class Span:
    """Takes what a span is told at its end."""

    def __init__(self) -> None:
        self.trace = Trace("a" * 32, "b" * 16)
        self.ends: list[tuple[list[str], float | None]] = []

    def end(self, outcomes: list[str], pushed_at: float | None) -> None:
        self.ends.append((outcomes, pushed_at))


@pytest.fixture
async def member(store: EmbeddedServer, prefix: str) -> AsyncIterator[Member]:
    found = Member(fast_settings(prefix), store.address.url)
    await found.open()
    yield found
    await found.close()


def settle(delivery: Delivery) -> None:
    """Tell the outcome, as the sender does when there is one."""
    delivery.outcome = delivery.verdict()
    assert delivery.outcome is not None
    delivery.settled(delivery)


def watched(member: Member, span: Span) -> WatchedDelivery:
    watch = Watch(member.traces, span, None, "m1", 1, logged=False)
    user = UserId("alice")
    delivery = WatchedDelivery(user, 1, Confirm.DELIVERED, lambda _: None, watch)
    delivery.planned((EndpointId("n1.aa"),))
    return delivery


async def test_the_span_of_the_push_is_there_though_the_receipt_overtakes_the_reply(
    member: Member,
) -> None:
    span = Span()
    delivery = watched(member, span)
    delivery.answered(Answer.DELIVERED, 1)
    settle(delivery)
    delivery.pushed()
    ((outcomes, pushed_at),) = span.ends
    assert outcomes == ["delivered"]
    assert pushed_at is not None
