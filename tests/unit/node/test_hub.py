from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from node.hub import Hub
from router.model import SessionId, UserId


@dataclass(eq=False)
class Held:
    user: UserId
    id: SessionId


def held(user: str, session: str = "s1") -> Held:
    return Held(UserId(user), SessionId(session))


def test_an_empty_hub_knows_nobody() -> None:
    hub: Hub[Held] = Hub()
    assert (len(hub), list(hub), hub.get(UserId("alice"))) == (0, [], ())


def test_all_sessions_of_a_user_are_found_in_the_order_they_came() -> None:
    hub: Hub[Held] = Hub()
    phone, web, other = held("alice", "phone"), held("alice", "web"), held("bob")
    for session in (phone, web, other):
        hub.add(session)
    assert hub.get(UserId("alice")) == (phone, web)
    assert len(hub) == 3


def test_exactly_the_session_that_left_is_removed() -> None:
    hub: Hub[Held] = Hub()
    here, namesake = held("alice"), held("alice")
    hub.add(here)
    assert not hub.remove(namesake)
    assert hub.remove(here)
    assert not hub.remove(here)
    assert (len(hub), hub.get(UserId("alice"))) == (0, ())


def test_who_was_looked_up_does_not_change_under_the_reader() -> None:
    hub: Hub[Held] = Hub()
    sessions = [held("alice", str(i)) for i in range(3)]
    for session in sessions:
        hub.add(session)
    for session in hub.get(UserId("alice")):
        hub.remove(session)
    assert len(hub) == 0


def test_the_hub_may_change_while_it_is_walked_through() -> None:
    hub: Hub[Held] = Hub()
    for name in "abc":
        hub.add(held(name))
    for session in hub:
        hub.remove(session)
        hub.add(held(session.user + "2"))
    assert sorted(session.user for session in hub) == ["a2", "b2", "c2"]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.sampled_from("xyz"))))
def test_it_holds_what_a_plain_list_would_hold(steps: list[tuple[bool, str, str]]) -> None:
    hub: Hub[Held] = Hub()
    model: list[Held] = []
    for arrives, user, session in steps:
        same = [h for h in model if (h.user, h.id) == (user, session)]
        if arrives:
            model.append(held(user, session))
            hub.add(model[-1])
        elif same:
            model.remove(same[0])
            assert hub.remove(same[0])
    assert len(hub) == len(model)
    for user in "abc":
        assert list(hub.get(UserId(user))) == [h for h in model if h.user == user]
