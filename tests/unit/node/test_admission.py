import pytest

from node.admission import Admission, Full, network_of
from node.pace import Limits
from router.counts import Counts
from router.errors import TooMany
from router.model import UserId
from router.settings import LimitSettings


class Doorstep:
    """An admission, and what it is told."""

    def __init__(self, mode: str = "jwt", **limits: float) -> None:
        self.limits = Limits(LimitSettings.model_validate(limits))
        self.counts = Counts()
        self.sessions = 0
        self.of_user = 0
        self.admission = Admission(
            self.limits,
            self.counts,
            self,
            mode,
        )

    def __len__(self) -> int:
        return self.sessions

    def get(self, user: UserId) -> range:
        return range(self.of_user)

    def ask(self, address: str = "192.0.2.1", now: float = 0.0) -> None:
        self.admission.ask(address, now, 0.5)


class TestAddresses:
    def test_twenty_come_at_once_and_then_two_a_second(self) -> None:
        door = Doorstep()
        for _ in range(20):
            door.ask()
        with pytest.raises(TooMany) as caught:
            door.ask()
        assert caught.value.limit == "limits.address_handshakes_per_second"
        assert caught.value.retry_after_s == 0.5
        door.ask("192.0.2.2")
        door.ask(now=0.5)
        assert door.counts.limits == {"address_handshakes": 1}

    def test_what_one_has_too_many_of_does_not_count_for_the_node(self) -> None:
        door = Doorstep(handshakes_per_second=30.0)
        refused = 0
        for _ in range(1_000):
            try:
                door.ask()
            except TooMany:
                refused += 1
        assert refused == 980
        for number in range(10):
            door.ask(f"192.0.2.{10 + number}")

    def test_each_has_so_many_sessions(self) -> None:
        door = Doorstep(address_sessions=2)
        for _ in range(2):
            door.ask()
            door.admission.came("192.0.2.1")
        with pytest.raises(TooMany) as caught:
            door.ask()
        assert caught.value.limit == "limits.address_sessions"
        door.ask("192.0.2.2")
        door.admission.left("192.0.2.1")
        door.ask()
        assert door.counts.limits == {"address_sessions": 1}

    def test_nothing_is_remembered_of_those_who_have_left(self) -> None:
        door = Doorstep()
        for number in range(100):
            door.admission.came(f"192.0.2.{number}")
        for number in range(100):
            door.admission.left(f"192.0.2.{number}")
        assert not door.admission._here

    def test_where_all_come_from_one_none_of_it_holds(self) -> None:
        door = Doorstep("dev", address_sessions=1)
        for _ in range(100):
            door.ask()
            door.admission.came("127.0.0.1")

    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
            ("0.0.0.0", "0.0.0.0"),
            ("no address", "no address"),
        ],
    )
    def test_of_ipv6_the_network_counts(self, address: str, network: str) -> None:
        assert network_of(address) == network


class TestNode:
    def test_one_that_is_full_says_so_with_jitter(self) -> None:
        door = Doorstep(sessions=3)
        door.sessions = 3
        told = []
        for roll in (0.0, 0.5, 0.999):
            with pytest.raises(Full) as caught:
                door.admission.ask("192.0.2.1", 0.0, roll)
            told.append(caught.value.retry_after_s)
        assert told == [5.0, 10.0, pytest.approx(15.0, abs=0.1)]
        assert "3 sessions" in caught.value.reason

    def test_handshakes_beyond_the_rate_are_told_their_turns(self) -> None:
        door = Doorstep("dev", handshakes_per_second=10.0)
        for _ in range(10):
            door.ask()
        told = []
        for _ in range(20):
            with pytest.raises(Full) as caught:
                door.ask()
            told.append(round(caught.value.retry_after_s, 6))
        assert told == [pytest.approx(1.0 + n / 10) for n in range(1, 21)]
        assert door.counts.limits == {"handshakes": 20}


class TestUsers:
    def test_they_have_so_many_sessions(self) -> None:
        door = Doorstep()
        door.of_user = 9
        door.admission.ask_user(UserId("alice"))
        door.of_user = 10
        with pytest.raises(TooMany) as caught:
            door.admission.ask_user(UserId("alice"))
        assert str(caught.value) == (
            "limits.user_sessions: this user has 10 sessions on this node already"
        )

    def test_a_limit_that_changes_holds_at_once(self) -> None:
        door = Doorstep()
        door.of_user = 10
        door.limits.now = LimitSettings(user_sessions=11)
        door.admission.ask_user(UserId("alice"))
