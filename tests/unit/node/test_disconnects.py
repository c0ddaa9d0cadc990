from node import disconnects
from node.disconnects import Disconnect

ALL = [value for value in vars(disconnects).values() if isinstance(value, Disconnect)]


def test_the_codes_are_those_of_the_contract() -> None:
    assert {found.code for found in ALL} == {1001, 1008, 1009, 1012, 1013, 4401, 4408, 4410, 4429}


def test_no_code_is_used_twice() -> None:
    assert len({found.code for found in ALL}) == len(ALL)


def test_every_code_may_stand_in_a_close_frame_and_its_reason_fits() -> None:
    for found in ALL:
        assert 1000 <= found.code < 5000
        assert 0 < len(found.reason.encode()) <= 123


def test_only_who_would_be_refused_again_is_told_to_stay_away() -> None:
    assert {found.code for found in ALL if not found.reconnect} == {1008, 4401, 4410}
