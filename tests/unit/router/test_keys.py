import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from router.keys import Keys, route_field, split_route_field
from router.model import EndpointId, SessionId, UserId

KEYS = Keys("sb")
USER = UserId("alice")
ENDPOINT = EndpointId("n1.0a1b")
OF_USER = [KEYS.routes(USER), KEYS.seen(USER)]
OF_ENDPOINT = [
    KEYS.open(ENDPOINT),
    KEYS.lease(ENDPOINT),
    KEYS.inbox(ENDPOINT),
    KEYS.done(ENDPOINT),
    KEYS.users(ENDPOINT),
]


def test_names_are_those_of_the_protocol() -> None:
    assert OF_USER == ["sb:{alice}:routes", "sb:{alice}:seen"]
    assert OF_ENDPOINT == [
        "sb:{n1.0a1b}:open",
        "sb:{n1.0a1b}:lease",
        "sb:{n1.0a1b}:inbox",
        "sb:{n1.0a1b}:done",
        "sb:{n1.0a1b}:users",
    ]
    assert (KEYS.endpoints, KEYS.dead) == ("sb:endpoints", "sb:dead")


@pytest.mark.parametrize("group", [OF_USER, OF_ENDPOINT], ids=["user", "endpoint"])
def test_what_one_script_touches_lies_in_one_slot(group: list[str]) -> None:
    assert len({key_slot(key.encode()) for key in group}) == 1


@given(st.text(min_size=1).filter(lambda user: "{" not in user and "}" not in user))
def test_the_keys_of_any_user_share_a_slot(user: str) -> None:
    keys = [KEYS.routes(UserId(user)), KEYS.seen(UserId(user))]
    assert len({key_slot(key.encode("utf-8", "surrogatepass")) for key in keys}) == 1


def test_two_prefixes_share_no_key() -> None:
    other = Keys("other")
    mine = {*OF_USER, *OF_ENDPOINT, KEYS.endpoints, KEYS.dead}
    assert not mine & {
        other.routes(USER),
        other.seen(USER),
        other.open(ENDPOINT),
        other.lease(ENDPOINT),
        other.inbox(ENDPOINT),
        other.done(ENDPOINT),
        other.users(ENDPOINT),
        other.endpoints,
        other.dead,
    }


def test_no_two_keys_are_the_same_even_when_a_user_is_called_like_an_endpoint() -> None:
    everything = [*OF_ENDPOINT, KEYS.routes(UserId(ENDPOINT)), KEYS.seen(UserId(ENDPOINT))]
    assert len(set(everything)) == len(everything)


@given(st.from_regex(r"[A-Za-z0-9_-]{1,8}\.[0-9a-f]{10}", fullmatch=True), st.uuids())
def test_a_routes_field_gives_back_what_it_was_made_of(endpoint: str, session: object) -> None:
    field = route_field(EndpointId(endpoint), SessionId(str(session)))
    assert split_route_field(field) == (endpoint, str(session))


@pytest.mark.parametrize("field", ["", "no-slash"])
def test_a_field_that_is_not_ours_names_no_endpoint(field: str) -> None:
    assert split_route_field(field) == ("", field)
