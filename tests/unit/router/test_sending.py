"""Sends under way: who waits for what, until when, and what they are told."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from router import sending as sending_module
from router.codec import Answer, MessageEnvelope
from router.errors import InvalidRequest, Unavailable, Unsupported
from router.model import Confirm, EndpointId, Outcome, Registered, Session, SessionId, UserId
from router.sending import MAX_TIMEOUT_S, MIN_TIMEOUT_S, Draft, Sending
from router.store.clock import StoreClock
from router.transport.base import Delivery
from tests.support.waiting import eventually

ALICE, BOB = UserId("alice"), UserId("bob")
N1 = EndpointId("n1.aa")


class RecordingTransport:
    """Publishes nowhere; the test says what becomes of each delivery."""

    confirms = frozenset(Confirm)
    durable = True

    def __init__(self) -> None:
        self.published: list[tuple[MessageEnvelope, Sequence[Delivery]]] = []
        self.at_once: Callable[[Delivery], None] | None = None

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def store_is_back(self) -> None: ...

    def publish(self, parcel: MessageEnvelope, deliveries: Sequence[Delivery]) -> None:
        self.published.append((parcel, deliveries))
        for delivery in deliveries:
            delivery.planned((N1,))
            if self.at_once is not None:
                self.at_once(delivery)

    async def attach(self, sessions: Sequence[tuple[UserId, Session]]) -> Registered:
        return Registered(True, [None] * len(sessions))

    def release(self, delivery: Delivery) -> None:
        delivery.settled(delivery)

    async def detach(
        self, user: UserId, endpoint: EndpointId, session: SessionId, *, last_here: bool
    ) -> None: ...


@pytest.fixture
def clock() -> StoreClock:
    return StoreClock()


@pytest.fixture
def transport() -> RecordingTransport:
    return RecordingTransport()


@pytest.fixture
def sending(clock: StoreClock, transport: RecordingTransport) -> Sending:
    found = Sending(clock, max_waiting=100)
    found.transport = transport
    found.own = EndpointId("send.01")
    return found


def draft(confirm: Confirm = Confirm.DELIVERED, timeout_s: float = 5.0, **more: Any) -> Draft:
    return Draft(b'"x"', origin="bob", confirm=confirm, timeout_s=timeout_s, **more)


class Settled:
    """Takes settled deliveries, in order."""

    def __init__(self) -> None:
        self.all: list[Delivery] = []

    def __call__(self, delivery: Delivery) -> None:
        self.all.append(delivery)

    @property
    def outcomes(self) -> list[Outcome | None]:
        return [delivery.outcome for delivery in self.all]


@pytest.fixture
def settled() -> Settled:
    return Settled()


class TestDrafts:
    @pytest.mark.parametrize("timeout_s", [MIN_TIMEOUT_S, 0.5, MAX_TIMEOUT_S])
    def test_a_time_limit_in_range_will_do(self, timeout_s: float) -> None:
        assert draft(timeout_s=timeout_s).timeout_s == timeout_s

    @pytest.mark.parametrize(
        "timeout_s", [0, -1.0, 0.0001, MAX_TIMEOUT_S + 1, float("nan"), float("inf")]
    )
    def test_any_other_is_refused(self, timeout_s: float) -> None:
        with pytest.raises(InvalidRequest) as caught:
            draft(timeout_s=timeout_s)
        assert caught.value.field == "timeout_s"

    @pytest.mark.parametrize("ttl_s", [0.0, -1.0, 1e9, float("nan"), float("inf")])
    def test_a_life_that_is_none_or_endless_is_refused(self, ttl_s: float) -> None:
        with pytest.raises(InvalidRequest) as caught:
            draft(ttl_s=ttl_s)
        assert caught.value.field == "ttl_s"

    @pytest.mark.parametrize("id", ["", "x" * 129, "a\nb", "\x00"])
    def test_an_id_that_cannot_be_shown_is_refused(self, id: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            draft(id=id)
        assert caught.value.field == "id"


class TestSubmitting:
    async def test_a_message_is_published_as_it_was_drafted(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        message_id = sending.submit(draft(), (ALICE, BOB), settled)
        [(parcel, deliveries)] = transport.published
        assert (parcel.id, parcel.sender, parcel.origin) == (message_id, "send.01", "bob")
        assert (parcel.confirm, parcel.hop, parcel.data) == (Confirm.DELIVERED, 0, b'"x"')
        assert parcel.expires_ms == 0
        assert parcel.sent_at > 1e9
        assert [delivery.user for delivery in deliveries] == [ALICE, BOB]
        assert sending.counts.sends == 2

    async def test_every_message_has_an_id_of_its_own(
        self, sending: Sending, settled: Settled
    ) -> None:
        ids = {sending.submit(draft(), (ALICE,), settled) for _ in range(50)}
        assert len(ids) == 50

    async def test_two_senders_never_give_the_same_id(
        self, clock: StoreClock, transport: RecordingTransport, settled: Settled
    ) -> None:
        ids = set()
        for _ in range(2):
            sending = Sending(clock, 10)
            sending.transport = transport
            ids.add(sending.submit(draft(), (ALICE,), settled))
        assert len(ids) == 2

    async def test_a_given_id_is_kept(self, sending: Sending, settled: Settled) -> None:
        assert sending.submit(draft(id="mine"), (ALICE,), settled) == "mine"

    async def test_every_delivery_has_a_number_of_its_own_in_the_order_of_the_calls(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        for _ in range(3):
            sending.submit(draft(), (ALICE, BOB), settled)
        refs = [delivery.ref for _, deliveries in transport.published for delivery in deliveries]
        assert refs == sorted(set(refs))

    async def test_who_does_not_wait_for_answers_is_not_named(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        sending.submit(draft(Confirm.ACCEPTED), (ALICE,), settled)
        assert transport.published[0][0].sender == ""

    async def test_a_life_ends_by_the_stores_clock(
        self, sending: Sending, transport: RecordingTransport, clock: StoreClock, settled: Settled
    ) -> None:
        clock.set(1_000_000)
        sending.submit(draft(ttl_s=2.5), (ALICE,), settled)
        assert 1_002_500 <= transport.published[0][0].expires_ms <= clock.now_ms() + 2_500

    async def test_what_is_settled_at_once_is_told_before_submit_returns(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        def gone(delivery: Delivery) -> None:
            delivery.refused(Outcome.OFFLINE)
            sending.changed(delivery)

        transport.at_once = gone
        sending.submit(draft(), (ALICE,), settled)
        assert settled.outcomes == [Outcome.OFFLINE]
        assert sending.waiting == 0


class TestLevels:
    def test_as_far_as_the_mode_can_know_is_the_default(self, sending: Sending) -> None:
        assert sending.level(None) is Confirm.DELIVERED
        assert sending.level(Confirm.WRITTEN) is Confirm.WRITTEN

    def test_what_the_mode_cannot_know_is_refused_with_what_it_can(
        self, sending: Sending, transport: RecordingTransport
    ) -> None:
        transport.confirms = frozenset({Confirm.ACCEPTED})
        assert sending.level(None) is Confirm.ACCEPTED
        with pytest.raises(Unsupported, match="accepted"):
            sending.level(Confirm.WRITTEN)


class TestBound:
    async def test_one_too_many_is_busy_at_once(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        for _ in range(100):
            sending.submit(draft(), (ALICE,), settled)
        assert (sending.waiting, settled.all) == (100, [])
        sending.submit(draft(), (BOB,), settled)
        assert settled.outcomes == [Outcome.BUSY]
        assert "100 messages" in settled.all[0].reason
        assert (sending.waiting, len(transport.published)) == (100, 100)

    async def test_many_users_go_all_or_none(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        sending.submit(draft(), (BOB,), settled)
        sending.submit(draft(), [UserId(f"user-{n}") for n in range(100)], settled)
        assert settled.outcomes == [Outcome.BUSY] * 100
        assert len(transport.published) == 1

    async def test_who_was_settled_makes_room(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        for _ in range(100):
            sending.submit(draft(), (ALICE,), settled)
        ref = transport.published[0][1][0].ref
        sending.receipts([ref, Answer.DELIVERED, 1])
        sending.submit(draft(), (BOB,), settled)
        assert settled.outcomes == [Outcome.DELIVERED]


class TestReceipts:
    async def test_an_answer_settles_its_own_delivery(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        sending.submit(draft(), (ALICE, BOB), settled)
        alice, bob = transport.published[0][1]
        sending.receipts([bob.ref, Answer.DELIVERED, 2])
        assert settled.all == [bob]
        assert (bob.outcome, bob.reached) == (Outcome.DELIVERED, 2)
        assert alice.open

    async def test_many_answers_come_in_one_envelope(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        users = [UserId(f"user-{n}") for n in range(50)]
        sending.submit(draft(), users, settled)
        items: list[int] = []
        for delivery in transport.published[0][1]:
            delivery.pushed()
            items += (delivery.ref, Answer.DELIVERED, 1)
        sending.receipts(items)
        assert settled.outcomes == [Outcome.DELIVERED] * 50
        assert sending.waiting == 0

    async def test_a_late_answer_is_ignored(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        sending.submit(draft(timeout_s=0.02), (ALICE,), settled)
        delivery = transport.published[0][1][0]
        await eventually(lambda: settled.outcomes == [Outcome.UNKNOWN])
        sending.receipts([delivery.ref, Answer.DELIVERED, 1])
        assert settled.outcomes == [Outcome.UNKNOWN]
        assert delivery.outcome is Outcome.UNKNOWN

    async def test_a_second_answer_settles_nothing_again(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        sending.submit(draft(), (ALICE,), settled)
        delivery = transport.published[0][1][0]
        for kind in (Answer.DELIVERED, Answer.NOT_HERE):
            sending.receipts([delivery.ref, kind, 1])
        assert settled.outcomes == [Outcome.DELIVERED]

    @pytest.mark.parametrize(
        "items", [[], [1], [1, 2], [999_999, Answer.DELIVERED, 1], [2**52, 77, 0], [0, 0, 0]]
    )
    async def test_answers_that_mean_nothing_here_are_ignored(
        self, sending: Sending, settled: Settled, items: list[int]
    ) -> None:
        sending.submit(draft(), (ALICE,), settled)
        sending.receipts(items)
        assert (settled.all, sending.waiting) == ([], 1)

    async def test_an_answer_of_another_version_is_an_unknown_outcome(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        sending.submit(draft(), (ALICE, BOB), settled)
        alice, bob = transport.published[0][1]
        alice.pushed()
        sending.receipts([alice.ref, 77, 1, bob.ref, Answer.DELIVERED, 1])
        assert settled.outcomes == [Outcome.UNKNOWN, Outcome.DELIVERED]


class TestErrors:
    async def test_an_error_settles_as_an_outcome_does(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        sending.submit(draft(), (ALICE,), settled)
        delivery = transport.published[0][1][0]
        delivery.error = Unavailable("here", "gone")
        sending.changed(delivery)
        sending.changed(delivery)
        assert settled.all == [delivery]
        assert (delivery.outcome, sending.waiting) == (None, 0)


class TestTimeouts:
    @pytest.fixture(autouse=True)
    def quick_ticks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sending_module, "_TICK_S", 0.01)

    async def test_who_waited_long_enough_hears_that_nothing_is_known(
        self, sending: Sending, settled: Settled
    ) -> None:
        sending.submit(draft(timeout_s=0.05), (ALICE,), settled)
        await eventually(lambda: settled.outcomes == [Outcome.UNKNOWN])
        assert settled.all[0].reason == "no proof came in 0.05 s"
        assert sending.waiting == 0

    async def test_nobody_is_told_too_early(self, sending: Sending, settled: Settled) -> None:
        loop = asyncio.get_running_loop()
        ended: list[float] = []
        began = loop.time()
        for timeout_s in (0.03, 0.051, 0.0999, 0.12):
            sending.submit(
                draft(timeout_s=timeout_s), (ALICE,), lambda _: ended.append(loop.time())
            )
        await eventually(lambda: len(ended) == 4)
        for end, timeout_s in zip(ended, (0.03, 0.051, 0.0999, 0.12), strict=True):
            assert end - began >= timeout_s - 0.002  # the loop's clock counts milliseconds

    async def test_who_has_less_time_hears_first_whoever_came_first(
        self, sending: Sending, settled: Settled
    ) -> None:
        users = {"slow": 0.3, "quick": 0.02, "medium": 0.15}
        for user, timeout_s in users.items():
            sending.submit(draft(timeout_s=timeout_s), (UserId(user),), settled)
        await eventually(lambda: len(settled.all) == 3)
        assert [delivery.user for delivery in settled.all] == ["quick", "medium", "slow"]

    async def test_in_one_lane_the_first_who_came_is_the_first_who_hears(
        self, sending: Sending, settled: Settled
    ) -> None:
        users = [UserId(f"user-{n}") for n in range(20)]
        for user in users:
            sending.submit(draft(timeout_s=0.05), (user,), settled)
        await eventually(lambda: len(settled.all) == 20)
        assert [delivery.user for delivery in settled.all] == users

    async def test_any_time_limits_make_few_lanes(self, sending: Sending, settled: Settled) -> None:
        for number in range(90):
            sending.submit(draft(timeout_s=1.0 + number / 91), (ALICE,), settled)
        assert len(sending._lanes) <= 11

    async def test_a_settled_delivery_does_not_time_out(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        sending.submit(draft(timeout_s=0.02), (ALICE,), settled)
        sending.submit(draft(timeout_s=0.02), (BOB,), settled)
        sending.receipts([transport.published[0][1][0].ref, Answer.DELIVERED, 1])
        await eventually(lambda: len(settled.all) == 2)
        assert settled.outcomes == [Outcome.DELIVERED, Outcome.UNKNOWN]

    async def test_what_was_heard_of_one_copy_is_the_reason(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        sending.submit(draft(timeout_s=0.02), (ALICE,), settled)
        delivery = transport.published[0][1][0]
        delivery.planned((EndpointId("n2.bb"),))
        delivery.refused(Outcome.BUSY, "the inbox of n2.bb is full")
        sending.changed(delivery)
        await eventually(lambda: settled.outcomes == [Outcome.UNKNOWN])
        assert settled.all[0].reason == "the inbox of n2.bb is full"

    async def test_a_lost_store_is_the_reason(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        sending.submit(draft(timeout_s=0.02), (ALICE,), settled)
        transport.published[0][1][0].sure = False
        await eventually(lambda: settled.outcomes == [Outcome.UNKNOWN])
        assert "the store was lost" in settled.all[0].reason

    async def test_when_nobody_waits_nothing_ticks(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        sending.submit(draft(timeout_s=0.5), (ALICE,), settled)
        assert sending._ticking
        sending.receipts([transport.published[0][1][0].ref, Answer.DELIVERED, 1])
        await eventually(lambda: not sending._ticking)
        assert sending._lanes == {}
        sending.submit(draft(timeout_s=0.02), (ALICE,), settled)
        await eventually(lambda: settled.outcomes == [Outcome.DELIVERED, Outcome.UNKNOWN])


class TestTracking:
    async def test_an_order_waits_for_one_answer(self, sending: Sending, settled: Settled) -> None:
        delivery = sending.track(ALICE, 5.0, settled)
        delivery.planned((N1,))
        delivery.pushed()
        sending.receipts([delivery.ref, Answer.KICKED, 3])
        assert settled.all == [delivery]
        assert delivery.reached == 3

    async def test_orders_and_messages_share_no_number(
        self, sending: Sending, transport: RecordingTransport, settled: Settled
    ) -> None:
        sending.submit(draft(), (ALICE,), settled)
        order = sending.track(ALICE, 5.0, settled)
        sending.submit(draft(), (ALICE,), settled)
        refs = [deliveries[0].ref for _, deliveries in transport.published]
        assert len({*refs, order.ref}) == 3
