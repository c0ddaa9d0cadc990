from node.limits import Strikes


def test_the_limit_is_reached_with_the_last_allowed_strike() -> None:
    strikes = Strikes(3, 10.0)
    assert [strikes.strike(at) for at in (0.0, 1.0, 2.0)] == [False, False, True]


def test_strikes_older_than_the_window_are_forgiven() -> None:
    strikes = Strikes(3, 10.0)
    assert [strikes.strike(at) for at in (0.0, 1.0, 10.0, 10.5)] == [False, False, False, True]


def test_slow_offenders_are_never_at_the_limit() -> None:
    strikes = Strikes(2, 10.0)
    assert not any(strikes.strike(at * 10.0) for at in range(100))
