import pytest

from node.limits import Room, Shares, Strikes


def test_the_limit_is_reached_with_the_last_allowed_strike() -> None:
    strikes = Strikes(10.0)
    assert [strikes.strike(at, 3) for at in (0.0, 1.0, 2.0)] == [False, False, True]


def test_strikes_older_than_the_window_are_forgiven() -> None:
    strikes = Strikes(10.0)
    assert [strikes.strike(at, 3) for at in (0.0, 1.0, 10.0, 10.5)] == [False, False, False, True]


def test_slow_offenders_are_never_at_the_limit() -> None:
    strikes = Strikes(10.0)
    assert not any(strikes.strike(at * 10.0, 2) for at in range(100))


def fill(shares: Shares, sender: str, waiting: int, length: int = 10) -> tuple[Room, int]:
    """Send frames of `length` until one is not taken; return why, and how much waits then."""
    while (room := shares.ask(sender, waiting, length)) is Room.TAKE:
        waiting += length
    return room, waiting


def test_a_frame_that_nothing_waits_for_is_always_taken() -> None:
    assert Shares(100).ask("noisy", 0, 1_000) is Room.TAKE


def test_a_sender_alone_may_use_all_the_room_and_then_the_client_is_too_slow() -> None:
    assert fill(Shares(100), "noisy", 0) == (Room.CLOSE, 100)


def test_others_find_room_when_one_has_taken_it_all() -> None:
    shares = Shares(100)
    waiting = 10
    while waiting < 100:
        assert shares.ask("noisy", waiting, 10) is Room.TAKE
        waiting += 10
    assert shares.ask("quiet", waiting, 10) is Room.TAKE
    assert shares.ask("noisy", waiting + 10, 10) is Room.REFUSE
    assert shares.ask("quiet", waiting + 10, 10) is Room.TAKE


@pytest.mark.parametrize("senders", [2, 3, 7])
def test_what_waits_is_bounded_however_many_send(senders: int) -> None:
    shares, waiting = Shares(1_000), 0
    for _ in range(300):
        for number in range(senders):
            if shares.ask(f"s{number}", waiting, 10) is Room.TAKE:
                waiting += 10
    assert waiting <= 1_500


def test_all_begin_afresh_when_the_client_has_caught_up() -> None:
    shares = Shares(100)
    for sender in ("noisy", "quiet"):
        fill(shares, sender, 60)
    assert shares.ask("noisy", 90, 10) is Room.REFUSE
    assert shares.ask("quiet", 10, 10) is Room.TAKE
    assert shares.ask("noisy", 60, 10) is Room.TAKE
