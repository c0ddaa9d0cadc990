import msgspec
import pytest

from scripts.measuring.plan import MIN_SIZE_BYTES, Plan, message_frame, user_name

PLAN = Plan(run=7, seed=1, users=10, messages=1000, size_bytes=100)


@pytest.mark.parametrize("size", [MIN_SIZE_BYTES, 100, 101, 5000])
@pytest.mark.parametrize("n", [0, 9, 99_999])
def test_data_has_exactly_the_size_asked_for(size: int, n: int) -> None:
    plan = Plan(123, 1, 100_000, 1, size)
    assert len(msgspec.json.encode(plan.data(n, 99_999))) == size


def test_every_process_draws_the_same_recipients() -> None:
    assert (
        PLAN.recipients()
        == Plan.load(msgspec.json.decode(msgspec.json.encode(PLAN.dump()))).recipients()
    )
    assert set(PLAN.recipients()) == set(range(10))


def test_another_repeat_draws_others() -> None:
    assert Plan(7, 2, 10, 1000, 100).recipients() != PLAN.recipients()


def test_no_two_messages_say_the_same() -> None:
    pads = {PLAN.data(n, 0)["pad"] for n in range(1000)}
    assert len(pads) == 1000


def test_a_frame_is_what_the_contract_says() -> None:
    frame = msgspec.json.decode(message_frame(PLAN, 3, 5, 1.5))
    assert set(frame) == {"type", "id", "from", "data", "sent_at"}
    assert frame["type"] == "message"
    assert frame["data"]["to"] == user_name(5)
