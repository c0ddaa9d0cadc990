import pickle

import pytest

from router import errors
from router.errors import CONSEQUENCES, SwitchboardError


def classes_below(parent: type[SwitchboardError]) -> list[type[SwitchboardError]]:
    return [parent, *(found for child in parent.__subclasses__() for found in classes_below(child))]


KINDS = [
    kind
    for kind in classes_below(SwitchboardError)
    if kind is not SwitchboardError and kind.__module__ == errors.__name__
]
SENTENCES = [
    (errors.InvalidUser("is empty"), "user: is empty"),
    (errors.InvalidUser("is empty", "to"), "to: is empty"),
    (errors.InvalidRequest("ttl_s", "is above 0"), "ttl_s: is above 0"),
    (errors.InvalidRequest("", "is not an object"), "is not an object"),
    (errors.Unsupported("durable", "not here"), "durable: not here"),
    (errors.TooLarge("data", 11, 10), "data: 11 bytes is over the limit of 10"),
    (
        errors.Unavailable("localhost:6379", "refused"),
        "the store at localhost:6379 is not available: refused",
    ),
    (errors.StoreRefused("OOM no room"), "the store refused a command: OOM no room"),
    (
        errors.StoreRefused("invalid username-password pair or user is disabled."),
        "the store refused a command: invalid username-password pair or user is disabled: "
        "see the user and the password in redis.url",
    ),
    (
        errors.StoreRefused("HELLO must be called authenticated"),
        "the store refused a command: HELLO must be called authenticated: "
        "put a user and a password into redis.url",
    ),
    (
        errors.StoreRefused("NOPERM no such key"),
        "the store refused a command: NOPERM no such key: "
        "deploy/redis/users.acl has the rights, for keys that begin with sb:",
    ),
    (errors.Garbage("WRONGTYPE no"), "the store refused a command: WRONGTYPE no"),
    (errors.InvalidSettings(["a: no", "b: no"]), "a: no\nb: no"),
    (errors.Unauthenticated("the token has expired"), "the token has expired"),
    (errors.Forbidden("only to receive"), "only to receive"),
    (
        errors.ApplicationFailed("authenticate"),
        "authenticate of the application has failed; the log of the node has more",
    ),
    (errors.UnknownNode("n9", "it has left"), "no node called 'n9' is alive: it has left"),
    (errors.TooMany("limits.sends", "10 a second", 0.5), "limits.sends: 10 a second"),
    (errors.ServerFailed("no port is free"), "no port is free"),
    (errors.DecodeError("not an envelope"), "not an envelope"),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_with_a_row_in_the_table(kind: type[SwitchboardError]) -> None:
    assert kind.code in CONSEQUENCES


def test_every_row_belongs_to_an_error() -> None:
    assert {kind.code for kind in KINDS} == set(CONSEQUENCES)


@pytest.mark.parametrize("code", CONSEQUENCES)
def test_a_consequence_is_a_failure_everywhere(code: str) -> None:
    consequence = CONSEQUENCES[code]
    assert 400 <= consequence.http_status < 600
    assert consequence.exit_status in (1, 2)


@pytest.mark.parametrize("code", CONSEQUENCES)
def test_only_what_may_pass_by_itself_is_worth_a_retry(code: str) -> None:
    assert CONSEQUENCES[code].retry == (CONSEQUENCES[code].http_status in (429, 503))


@pytest.mark.parametrize(("error", "sentence"), SENTENCES, ids=lambda value: type(value).__name__)
def test_an_error_is_a_sentence_made_of_its_fields(error: SwitchboardError, sentence: str) -> None:
    assert str(error) == sentence
    assert error.consequence is CONSEQUENCES[error.code]


@pytest.mark.parametrize(("error", "sentence"), SENTENCES, ids=lambda value: type(value).__name__)
def test_an_error_survives_the_way_to_another_process(
    error: SwitchboardError, sentence: str
) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == sentence
    assert vars(copy) == vars(error)


def test_every_error_has_been_read_aloud_here() -> None:
    assert {type(error) for error, _ in SENTENCES} == set(KINDS)


def test_the_fields_of_an_error_are_there_to_be_read() -> None:
    too_large = errors.TooLarge("data", 11, 10)
    assert (too_large.field, too_large.size_bytes, too_large.limit_bytes) == ("data", 11, 10)
    assert errors.Unavailable("a:1", "gone").address == "a:1"
    assert errors.StoreRefused("OOM").error == "OOM"
    assert errors.InvalidSettings(["x"]).problems == ["x"]
