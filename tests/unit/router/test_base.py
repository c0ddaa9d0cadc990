"""The ledger of one message for one user: what is said must be true, whatever comes first."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations, product

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from router.codec import Answer
from router.errors import Unavailable
from router.model import START, Confirm, EndpointId, Offset, Outcome, UserId
from router.transport.base import Delivery

Step = Callable[[Delivery], None]
ARRIVED = {Answer.WRITTEN, Answer.DELIVERED}
# What a node says of a copy that some socket may have been written.
PERHAPS = ARRIVED | {Answer.CLOSED, Answer.UNSURE, Answer.FAILED}
NEGATIVE = {Outcome.OFFLINE, Outcome.DROPPED, Outcome.EXPIRED, Outcome.BUSY}


def new_delivery(confirm: Confirm = Confirm.DELIVERED, copies: int = 1) -> Delivery:
    delivery = Delivery(UserId("alice"), 1, confirm, lambda _: None)
    delivery.planned(tuple(EndpointId(f"n{number}.0") for number in range(copies)))
    return delivery


def pushed(delivery: Delivery) -> None:
    delivery.pushed()


def answer(kind: Answer, sessions: int = 1) -> Step:
    return lambda delivery: delivery.answered(kind, sessions)


def refused(outcome: Outcome) -> Step:
    return lambda delivery: delivery.refused(outcome, "because")


def lost(delivery: Delivery) -> None:
    delivery.sure = False


def after(delivery: Delivery, *steps: Step) -> Outcome | None:
    for step in steps:
        step(delivery)
    return delivery.verdict()


class TestOneCopy:
    @pytest.mark.parametrize("confirm", Confirm)
    def test_nothing_is_said_before_anything_happened(self, confirm: Confirm) -> None:
        assert new_delivery(confirm).verdict() is None

    @pytest.mark.parametrize(
        ("confirm", "kind", "outcome"),
        [
            (Confirm.WRITTEN, Answer.WRITTEN, Outcome.WRITTEN),
            (Confirm.WRITTEN, Answer.DELIVERED, Outcome.DELIVERED),
            (Confirm.WRITTEN, Answer.KICKED, Outcome.WRITTEN),
            (Confirm.DELIVERED, Answer.DELIVERED, Outcome.DELIVERED),
            (Confirm.DELIVERED, Answer.WRITTEN, Outcome.UNKNOWN),
            *(
                (confirm, kind, outcome)
                for confirm in (Confirm.WRITTEN, Confirm.DELIVERED)
                for kind, outcome in [
                    (Answer.DROPPED, Outcome.DROPPED),
                    (Answer.EXPIRED, Outcome.EXPIRED),
                    (Answer.NOT_HERE, Outcome.OFFLINE),
                    (Answer.CLOSED, Outcome.UNKNOWN),
                    (Answer.UNSURE, Outcome.UNKNOWN),
                    (Answer.FAILED, Outcome.UNKNOWN),
                ]
            ),
        ],
    )
    def test_an_answer_decides(self, confirm: Confirm, kind: Answer, outcome: Outcome) -> None:
        assert after(new_delivery(confirm), pushed, answer(kind)) is outcome

    def test_a_push_alone_decides_when_no_more_was_asked_for(self) -> None:
        assert after(new_delivery(Confirm.ACCEPTED), pushed) is Outcome.ACCEPTED

    @pytest.mark.parametrize("confirm", [Confirm.WRITTEN, Confirm.DELIVERED])
    def test_a_push_alone_decides_nothing_when_more_was_asked_for(self, confirm: Confirm) -> None:
        assert after(new_delivery(confirm), pushed) is None

    @pytest.mark.parametrize("outcome", [Outcome.BUSY, Outcome.OFFLINE, Outcome.UNKNOWN])
    @pytest.mark.parametrize("confirm", Confirm)
    def test_a_refusal_decides_with_its_reason(self, confirm: Confirm, outcome: Outcome) -> None:
        delivery = new_delivery(confirm)
        assert after(delivery, refused(outcome)) is outcome
        assert delivery.reason == "because"

    def test_a_user_with_no_copy_at_all_is_offline(self) -> None:
        assert new_delivery(copies=0).verdict() is Outcome.OFFLINE

    @pytest.mark.parametrize("kind", sorted(PERHAPS | {Answer.NOT_HERE}))
    def test_an_answer_may_come_before_the_reply_to_its_push(self, kind: Answer) -> None:
        for confirm in (Confirm.WRITTEN, Confirm.DELIVERED):
            early = after(new_delivery(confirm), answer(kind), pushed)
            assert early is after(new_delivery(confirm), pushed, answer(kind))

    def test_the_sessions_reached_add_up(self) -> None:
        delivery = new_delivery(Confirm.WRITTEN, copies=2)
        after(delivery, pushed, pushed, answer(Answer.WRITTEN, 2), answer(Answer.WRITTEN, 3))
        assert delivery.reached == 5

    @pytest.mark.parametrize("number", [0, 11, 99, 2**53 - 1])
    def test_an_answer_of_another_version_is_a_copy_nobody_can_speak_for(self, number: int) -> None:
        delivery = new_delivery()
        delivery.pushed()
        delivery.answered(number, 1)
        assert delivery.verdict() is Outcome.UNKNOWN

    def test_each_unsure_answer_says_why(self) -> None:
        reasons = set()
        for kind in (Answer.CLOSED, Answer.UNSURE, Answer.FAILED):
            delivery = new_delivery()
            after(delivery, pushed, answer(kind))
            reasons.add(delivery.reason)
        assert len(reasons) == 3
        assert "" not in reasons


class TestLostReplies:
    """Once a push may have run twice, nobody can speak for "the" copy."""

    @pytest.mark.parametrize("kind", [Answer.NOT_HERE, Answer.DROPPED, Answer.EXPIRED])
    def test_a_negative_answer_to_the_second_push_says_nothing_of_the_first(
        self, kind: Answer
    ) -> None:
        delivery = new_delivery()
        assert after(delivery, lost, pushed, answer(kind)) is Outcome.UNKNOWN
        assert "repeated" in delivery.reason

    @pytest.mark.parametrize("outcome", [Outcome.OFFLINE, Outcome.BUSY])
    def test_a_refused_second_push_says_nothing_of_the_first(self, outcome: Outcome) -> None:
        assert after(new_delivery(), lost, refused(outcome)) is Outcome.UNKNOWN

    def test_an_answer_that_came_before_the_connection_went_counts(self) -> None:
        delivery = new_delivery(copies=2)
        assert after(delivery, answer(Answer.NOT_HERE), lost, pushed) is None
        assert after(delivery, pushed, answer(Answer.DELIVERED)) is Outcome.DELIVERED

    def test_good_news_is_good_news(self) -> None:
        assert after(new_delivery(), lost, pushed, answer(Answer.DELIVERED)) is Outcome.DELIVERED

    def test_a_push_that_was_repeated_in_vain_is_not_accepted(self) -> None:
        delivery = new_delivery(Confirm.ACCEPTED)
        assert after(delivery, lost, refused(Outcome.BUSY)) is Outcome.UNKNOWN


class TestSeveralCopies:
    def test_one_proof_is_enough(self) -> None:
        delivery = new_delivery(copies=3)
        assert after(delivery, pushed, pushed, answer(Answer.DELIVERED)) is Outcome.DELIVERED

    def test_a_negative_word_waits_for_every_copy(self) -> None:
        delivery = new_delivery(copies=2)
        assert after(delivery, pushed, pushed, answer(Answer.NOT_HERE)) is None
        assert after(delivery, answer(Answer.NOT_HERE)) is Outcome.OFFLINE

    def test_a_proof_wipes_the_reason_of_another_copys_misfortune(self) -> None:
        delivery = new_delivery(copies=2)
        after(delivery, refused(Outcome.BUSY), pushed, answer(Answer.DELIVERED))
        assert (delivery.verdict(), delivery.reason) == (Outcome.DELIVERED, "")

    @pytest.mark.parametrize("first", [Outcome.BUSY, Outcome.UNKNOWN])
    def test_accepted_means_by_every_node_that_holds_the_user(self, first: Outcome) -> None:
        for steps in permutations([refused(first), pushed]):
            delivery = new_delivery(Confirm.ACCEPTED, copies=2)
            assert after(delivery, *steps) is Outcome.UNKNOWN
            assert delivery.reason

    def test_a_node_that_is_gone_does_not_count(self) -> None:
        delivery = new_delivery(Confirm.ACCEPTED, copies=2)
        assert after(delivery, refused(Outcome.OFFLINE), pushed) is Outcome.ACCEPTED

    def test_a_detour_is_one_more_copy(self) -> None:
        delivery = new_delivery(copies=1)
        delivery.planned((EndpointId("n9.0"),))
        assert after(delivery, refused(Outcome.OFFLINE)) is None
        assert after(delivery, pushed, answer(Answer.DELIVERED)) is Outcome.DELIVERED
        assert delivery.endpoints == ("n0.0", "n9.0")

    @pytest.mark.parametrize(
        ("kinds", "outcome"),
        [
            ((Answer.NOT_HERE, Answer.EXPIRED), Outcome.EXPIRED),
            ((Answer.NOT_HERE, Answer.DROPPED), Outcome.DROPPED),
            ((Answer.EXPIRED, Answer.DROPPED), Outcome.DROPPED),
            *(
                ((kind, unsure), Outcome.UNKNOWN)
                for kind, unsure in product(
                    (Answer.NOT_HERE, Answer.EXPIRED, Answer.DROPPED),
                    (Answer.CLOSED, Answer.UNSURE, Answer.FAILED),
                )
            ),
        ],
    )
    def test_the_weightier_word_stands_in_whatever_order_they_come(
        self, kinds: tuple[Answer, Answer], outcome: Outcome
    ) -> None:
        for one, other in permutations(kinds):
            delivery = new_delivery(copies=2)
            assert after(delivery, pushed, pushed, answer(one), answer(other)) is outcome


class TestBeingOpen:
    def test_it_is_open_until_an_outcome_or_an_error(self) -> None:
        assert new_delivery().open
        settled, failed = new_delivery(), new_delivery()
        settled.outcome = Outcome.OFFLINE
        failed.error = Unavailable("here", "gone")
        assert not settled.open
        assert not failed.open


@dataclass
class Fate:
    """What really became of one copy, and the steps in which the ledger hears of it."""

    steps: list[Step]
    word: Outcome | None  # of the refusal, None if it was pushed
    ran_unseen: bool  # a push ran whose reply was lost
    answers: list[Answer]

    @property
    def arrived_perhaps(self) -> bool:
        return bool(PERHAPS & set(self.answers)) or (self.ran_unseen and not self.answers)


ANSWERS: st.SearchStrategy[Answer] = st.sampled_from(
    [kind for kind in Answer if kind is not Answer.KICKED]
)
REFUSALS = st.sampled_from([Outcome.BUSY, Outcome.OFFLINE, Outcome.UNKNOWN])


@st.composite
def fates(draw: st.DrawFn) -> Fate:
    """A copy is pushed or refused, perhaps after a push of which nobody knows whether it ran."""
    first = [lost] if draw(st.booleans()) else []
    ran_unseen = bool(first) and draw(st.booleans())
    word = draw(st.none() | REFUSALS)
    count = (word is None) + (ran_unseen and draw(st.booleans()))
    answers = draw(st.lists(ANSWERS, min_size=count, max_size=count))
    end = pushed if word is None else refused(word)
    rest = draw(st.permutations([end, *(answer(kind) for kind in answers)]))
    return Fate([*first, *rest], word, ran_unseen, answers)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Fate], list[Step]]:
    """Up to three copies; what is heard of one falls between what is heard of the others."""
    copies = draw(st.lists(fates(), min_size=1, max_size=3))
    left = [iter(fate.steps) for fate in copies]
    turns = draw(st.permutations([i for i, fate in enumerate(copies) for _ in fate.steps]))
    return copies, [next(left[turn]) for turn in turns]


class TestAnyHistory:
    @given(histories(), st.sampled_from(Confirm))
    def test_the_word_is_true_and_stays_true(
        self, history: tuple[list[Fate], list[Step]], confirm: Confirm
    ) -> None:
        copies, steps = history
        delivery = new_delivery(confirm, len(copies))
        said = None
        for step in steps:
            step(delivery)
            said = delivery.verdict()
            assert delivery.verdict() is said
            if said is not None:
                break
        event(str(said))
        assert said is not None
        answers = {kind for fate in copies for kind in fate.answers}
        if said in NEGATIVE:
            assert not any(fate.arrived_perhaps for fate in copies)
        if said is Outcome.DELIVERED:
            assert Answer.DELIVERED in answers
        if said is Outcome.WRITTEN:
            assert confirm < Confirm.DELIVERED
            assert answers & ARRIVED
        if said is Outcome.ACCEPTED:
            assert confirm is Confirm.ACCEPTED
            assert {fate.word for fate in copies} <= {None, Outcome.OFFLINE}

    @given(histories(), st.sampled_from([Confirm.WRITTEN, Confirm.DELIVERED]))
    def test_a_word_that_was_not_taken_never_turns_into_its_opposite(
        self, history: tuple[list[Fate], list[Step]], confirm: Confirm
    ) -> None:
        copies, steps = history
        delivery = new_delivery(confirm, len(copies))
        said: list[Outcome] = []
        for step in steps:
            step(delivery)
            verdict = delivery.verdict()
            if verdict is not None:
                said.append(verdict)
        if said[0] in NEGATIVE:
            assert set(said) <= NEGATIVE
        if said[0] in (Outcome.WRITTEN, Outcome.DELIVERED):
            assert set(said) <= {Outcome.WRITTEN, Outcome.DELIVERED}


class TestStored:
    """What is said of a message that lies in the mailbox, whatever becomes of its copies."""

    @pytest.mark.parametrize("confirm", Confirm)
    def test_for_one_who_is_nowhere_it_is_queued(self, confirm: Confirm) -> None:
        assert stored(confirm, copies=0).verdict() is Outcome.QUEUED

    @pytest.mark.parametrize(
        ("kind", "outcome"),
        [
            (Answer.NOT_HERE, Outcome.QUEUED),
            (Answer.DROPPED, Outcome.QUEUED),
            (Answer.EXPIRED, Outcome.EXPIRED),
            (Answer.CLOSED, Outcome.UNKNOWN),
            (Answer.UNSURE, Outcome.UNKNOWN),
            (Answer.FAILED, Outcome.UNKNOWN),
        ],
    )
    @pytest.mark.parametrize("confirm", [Confirm.WRITTEN, Confirm.DELIVERED, Confirm.ACKED])
    def test_nobody_is_told_that_it_is_gone_while_it_waits(
        self, confirm: Confirm, kind: Answer, outcome: Outcome
    ) -> None:
        assert after(stored(confirm), pushed, answer(kind)) is outcome

    def test_a_node_that_was_full_is_no_reason_to_send_it_again(self) -> None:
        delivery = stored()
        assert after(delivery, refused(Outcome.BUSY)) is Outcome.UNKNOWN
        assert delivery.reason == (
            "because; the message is stored and will be read from the mailbox"
        )

    @pytest.mark.parametrize("kind", [Answer.NOT_HERE, Answer.DROPPED])
    def test_it_is_not_queued_while_too_few_replicas_have_it(self, kind: Answer) -> None:
        delivery = stored()
        delivery.thin = "stored, but 0 of 1 replicas have it so far"
        assert after(delivery, pushed, answer(kind)) is Outcome.UNKNOWN
        assert delivery.reason == delivery.thin

    @pytest.mark.parametrize(
        ("confirm", "kind"),
        [
            (Confirm.WRITTEN, Answer.WRITTEN),
            (Confirm.DELIVERED, Answer.DELIVERED),
            (Confirm.ACKED, Answer.ACKED),
        ],
    )
    def test_nor_is_it_anything_else_for_certain_as_other_devices_may_miss_it(
        self, confirm: Confirm, kind: Answer
    ) -> None:
        delivery = stored(confirm)
        delivery.thin = "stored, but 0 of 1 replicas have it so far"
        assert after(delivery, pushed, answer(kind)) is Outcome.UNKNOWN
        assert delivery.reason == f"a client has it; {delivery.thin}"

    def test_nor_is_it_accepted(self) -> None:
        delivery = stored(Confirm.ACCEPTED)
        delivery.thin = "stored, but 0 of 1 replicas have it so far"
        assert after(delivery, pushed) is Outcome.UNKNOWN
        assert delivery.reason == delivery.thin

    def test_replicas_are_no_matter_to_what_has_expired(self) -> None:
        few, enough = stored(), stored()
        few.thin = "stored, but 0 of 1 replicas have it so far"
        expired = (pushed, answer(Answer.EXPIRED))
        assert after(few, *expired) is after(enough, *expired)

    def test_after_a_push_that_may_have_run_twice_nobody_knows(self) -> None:
        assert after(stored(), lost, pushed, answer(Answer.NOT_HERE)) is Outcome.UNKNOWN

    def test_one_device_that_has_it_decides(self) -> None:
        delivery = stored(copies=2)
        steps = (pushed, pushed, answer(Answer.DROPPED), answer(Answer.DELIVERED))
        assert after(delivery, *steps) is Outcome.DELIVERED

    def test_only_an_acknowledgement_is_one(self) -> None:
        assert after(stored(Confirm.ACKED), pushed, answer(Answer.DELIVERED)) is Outcome.UNKNOWN
        assert after(stored(Confirm.ACKED), pushed, answer(Answer.ACKED)) is Outcome.ACKED
        assert after(stored(Confirm.DELIVERED), pushed, answer(Answer.ACKED)) is Outcome.ACKED

    def test_it_has_reached_somebody_or_will(self) -> None:
        for outcome in NEGATIVE:
            delivery = stored(copies=0)
            delivery.outcome = outcome
            assert not delivery.reached_nobody
        for outcome in NEGATIVE:
            delivery = new_delivery(copies=0)
            delivery.outcome = outcome
            assert delivery.reached_nobody

    def test_what_is_stored_or_has_a_key_is_looked_up_in_its_own_step(self) -> None:
        for durable, key in ((True, None), (False, "bob k"), (True, "bob k")):
            delivery = Delivery(
                UserId("alice"), 1, Confirm.ACCEPTED, lambda _: None, durable=durable, key=key
            )
            assert delivery.special
        assert not new_delivery().special


def stored(confirm: Confirm = Confirm.DELIVERED, copies: int = 1) -> Delivery:
    delivery = new_delivery(confirm, copies)
    delivery.durable = True
    delivery.offset, delivery.before = Offset(5, 0), START
    return delivery
