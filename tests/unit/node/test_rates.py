import pytest

from node.rates import Rate


def test_one_sample_says_nothing_yet() -> None:
    assert Rate().sample(1_000, 5.0) == 0.0


def test_a_steady_stream_is_approached() -> None:
    rate = Rate()
    for second in range(20):
        seen = rate.sample(second * 100, float(second))
    assert seen == pytest.approx(100.0, abs=0.1)


def test_the_newest_sample_weighs_as_much_as_was_asked_for() -> None:
    rate = Rate(smoothing=0.25)
    rate.sample(0, 0.0)
    assert rate.sample(100, 1.0) == 25.0


def test_a_stream_that_ends_fades() -> None:
    rate = Rate()
    rate.sample(0, 0.0)
    rate.sample(1_000, 1.0)
    seen = [rate.sample(1_000, float(second)) for second in range(2, 20)]
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < 0.1


def test_two_samples_at_one_moment_do_no_harm() -> None:
    rate = Rate()
    rate.sample(0, 1.0)
    assert rate.sample(10, 1.0) == 0.0
    assert rate.sample(20, 2.0) == 5.0
