from itertools import pairwise

from node.pace import Buckets, Limits, Pace, Turns
from router.settings import LimitSettings


def limits(**changes: float) -> Limits:
    return Limits(LimitSettings.model_validate(changes))


class Reader:
    """Reads frames as a socket does: as fast as its pace lets it; time is made by waiting."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.now = 0.0
        self.reasons: set[str] = set()

    def read(self, frames: int, length_bytes: int = 10) -> float:
        """Return how long that many frames took."""
        began = self.now
        for _ in range(frames):
            if self.pace.took(length_bytes):
                wait_s, why = self.pace.wait_s(self.now)
                self.now += wait_s
                if wait_s:
                    self.reasons.add(why)
        return self.now - began


class TestPace:
    def test_a_burst_is_read_at_once_and_then_so_many_a_second(self) -> None:
        reader = Reader(Pace(limits(), 0.0))
        assert reader.read(40) == 0.0
        assert 9.9 < reader.read(200) < 10.1
        assert reader.reasons == {"frames"}

    def test_large_frames_are_read_at_the_rate_of_bytes(self) -> None:
        reader = Reader(Pace(limits(), 0.0))
        assert reader.read(4, 65_536) == 0.0
        assert 9.9 < reader.read(40, 65_536) < 10.1
        assert reader.reasons == {"bytes"}

    def test_quiet_time_gives_one_burst_and_not_more(self) -> None:
        reader = Reader(Pace(limits(), 0.0))
        reader.read(100)
        reader.now += 1_000.0
        reader.read(1)  # looks at the clock
        assert reader.read(40) == 0.0
        assert 9.9 < reader.read(200) < 10.1

    def test_who_keeps_below_the_rate_never_waits(self) -> None:
        reader = Reader(Pace(limits(), 0.0))
        for _ in range(1_000):
            reader.now += 1 / 19
            assert reader.read(1) == 0.0
        assert reader.pace.waits == 0

    def test_answers_count_their_bytes_only(self) -> None:
        pace = Pace(limits(), 0.0)
        for _ in range(1_000):
            assert not pace.took(10)
            pace.answered()
        assert pace.took(262_144)

    def test_limits_that_change_count_for_those_who_are_there(self) -> None:
        found = limits()
        reader = Reader(Pace(found, 0.0))
        reader.read(100)
        found.now = LimitSettings(frames_per_second=1_000.0)
        assert reader.read(1_000) < 1.1

    def test_waits_are_counted(self) -> None:
        reader = Reader(Pace(limits(), 0.0))
        reader.read(50)
        assert reader.pace.waits == 10


class TestBuckets:
    def test_each_key_has_a_bucket_of_its_own(self) -> None:
        buckets: Buckets[str] = Buckets()
        assert [buckets.take("a", 1, 1.0, 2.0, 0.0) for _ in range(3)] == [0.0, 0.0, 1.0]
        assert buckets.take("b", 1, 1.0, 2.0, 0.0) == 0.0

    def test_the_time_told_is_when_it_is_let_through(self) -> None:
        buckets: Buckets[str] = Buckets()
        buckets.take("a", 5, 0.5, 2.0, 0.0)
        after_s = buckets.take("a", 1, 0.5, 2.0, 0.0)
        assert after_s == 8.0
        assert buckets.take("a", 1, 0.5, 2.0, after_s - 0.1) > 0.0
        assert buckets.take("a", 1, 0.5, 2.0, after_s) == 0.0

    def test_what_is_refused_costs_nothing(self) -> None:
        buckets: Buckets[str] = Buckets()
        buckets.take("a", 2, 1.0, 2.0, 0.0)
        assert [buckets.take("a", 1, 1.0, 2.0, 0.5) for _ in range(100)] == [0.5] * 100

    def test_a_list_is_let_through_whole_and_makes_a_debt(self) -> None:
        buckets: Buckets[str] = Buckets()
        assert buckets.take("a", 1_000, 50.0, 100.0, 0.0) == 0.0
        assert 18.0 <= buckets.take("a", 1, 50.0, 100.0, 0.0) < 18.1

    def test_those_who_are_full_again_are_forgotten(self) -> None:
        buckets: Buckets[int] = Buckets()
        for number in range(100_000):
            buckets.take(number, 1, 2.0, 20.0, number / 500)
        assert len(buckets) <= 2_100

    def test_those_who_owe_are_not(self) -> None:
        buckets: Buckets[int] = Buckets()
        for number in range(5_000):
            buckets.take(number, 10_000, 2.0, 20.0, 0.0)
        assert len(buckets) == 5_000
        assert all(buckets.take(number, 1, 2.0, 20.0, 1.0) for number in range(5_000))


class TestTurns:
    def test_a_second_of_them_comes_in_at_once(self) -> None:
        turns = Turns()
        assert [turns.ask(10.0, 0.0) for _ in range(10)] == [0.0] * 10
        assert turns.ask(10.0, 0.0) > 1.0

    def test_those_who_are_refused_are_spread_evenly(self) -> None:
        turns = Turns()
        told = [after_s for _ in range(110) if (after_s := turns.ask(10.0, 0.0))]
        assert len(told) == 100
        assert all(abs(later - sooner - 0.1) < 1e-6 for sooner, later in pairwise(told))

    def test_who_comes_in_its_turn_gets_in(self) -> None:
        turns = Turns()
        waiting = [0.0] * 5_000
        tries = 0
        while waiting:
            now = min(waiting)
            waiting.remove(now)
            tries += 1
            if after_s := turns.ask(500.0, now):
                waiting.append(now + after_s)
        assert tries <= 2 * 5_000
        assert now < 12.0

    def test_nobody_is_told_to_wait_for_minutes(self) -> None:
        turns = Turns()
        told = [turns.ask(1.0, 0.0) for _ in range(1_000)]
        assert max(told) <= 31.0
        assert min(told[1:]) >= 1.0

    def test_when_the_crowd_has_gone_nobody_waits(self) -> None:
        turns = Turns()
        for _ in range(100):
            turns.ask(10.0, 0.0)
        assert turns.ask(10.0, 60.0) == 0.0
        for _ in range(9):
            turns.ask(10.0, 60.0)
        assert turns.ask(10.0, 60.0) < 1.2
