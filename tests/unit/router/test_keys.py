import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from router.keys import Keys
from router.model import EndpointId, UserId

KEYS = Keys("sb")
USER = UserId("alice")
ENDPOINT = EndpointId("n1.0a1b")


def of_user(keys: Keys, user: UserId = USER) -> list[str]:
    return [
        keys.routes(user),
        keys.seen(user),
        keys.channel(user),
        keys.mail(user),
        keys.cursors(user),
    ]


def of_endpoint(keys: Keys, endpoint: EndpointId = ENDPOINT) -> list[str]:
    return [
        keys.open(endpoint),
        keys.lease(endpoint),
        keys.inbox(endpoint),
        keys.done(endpoint),
        keys.users(endpoint),
        keys.rescued(endpoint),
        keys.rescuer(endpoint),
    ]


def of_all(keys: Keys) -> list[str]:
    return [keys.endpoints, keys.dead, keys.everybody]


def test_names_are_those_of_the_protocol() -> None:
    assert of_user(KEYS) == [
        "sb:{alice}:routes",
        "sb:{alice}:seen",
        "sb:{alice}:channel",
        "sb:{alice}:mail",
        "sb:{alice}:cursors",
    ]
    assert KEYS.key(USER, "shop/order 42") == "sb:{alice}:key:shop/order 42"
    assert of_endpoint(KEYS) == [
        "sb:{n1.0a1b}:open",
        "sb:{n1.0a1b}:lease",
        "sb:{n1.0a1b}:inbox",
        "sb:{n1.0a1b}:done",
        "sb:{n1.0a1b}:users",
        "sb:{n1.0a1b}:rescued",
        "sb:{n1.0a1b}:rescuer",
    ]
    assert KEYS.steps("4bf9") == "sb:{4bf9}:steps"
    assert KEYS.ticket("0f") == "sb:{0f}:ticket"
    assert of_all(KEYS) == ["sb:endpoints", "sb:dead", "sb:everybody"]


def test_every_name_that_can_be_built_has_been_looked_at_here() -> None:
    builders = {name for name in dir(Keys) if not name.startswith("_")} - {"prefix", "key", "steps"}
    looked_at = [*of_user(KEYS), *of_endpoint(KEYS), *of_all(KEYS)]
    looked_at.append(KEYS.ticket("0f"))
    assert {key.rpartition(":")[2] for key in looked_at} == builders


@pytest.mark.parametrize("group", [of_user(KEYS), of_endpoint(KEYS)], ids=["user", "endpoint"])
def test_what_one_script_touches_lies_in_one_slot(group: list[str]) -> None:
    assert len({key_slot(key.encode()) for key in group}) == 1


@given(st.text(min_size=1).filter(lambda user: "{" not in user and "}" not in user))
def test_the_keys_of_any_user_share_a_slot(user: str) -> None:
    keys = of_user(KEYS, UserId(user))
    assert len({key_slot(key.encode("utf-8", "surrogatepass")) for key in keys}) == 1


def test_two_prefixes_share_no_key() -> None:
    mine, others = (
        {*of_user(keys), *of_endpoint(keys), *of_all(keys)} for keys in (KEYS, Keys("other"))
    )
    assert not mine & others


def test_no_two_keys_are_the_same_even_when_a_user_is_called_like_an_endpoint() -> None:
    everything = [*of_endpoint(KEYS), *of_user(KEYS, UserId(ENDPOINT)), *of_all(KEYS)]
    assert len(set(everything)) == len(everything)
