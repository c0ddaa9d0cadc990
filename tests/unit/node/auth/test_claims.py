import json
import math
from typing import Any

import pytest

from node.auth.claims import Rules, identity_of
from node.identity import ALL_RIGHTS, EVERYBODY, Recipients, Right
from router.errors import Unauthenticated

NOW = 1_800_000_000.0
RULES = Rules(audience="", issuer="", leeway_s=10)
GOOD = {"sub": "alice", "iat": NOW - 60, "exp": NOW + 60}


def payload(**fields: Any) -> bytes:
    said = {name: value for name, value in {**GOOD, **fields}.items() if value is not ...}
    return json.dumps(said).encode()


def refusal(said: bytes, rules: Rules = RULES) -> str:
    with pytest.raises(Unauthenticated) as caught:
        identity_of(said, rules, NOW)
    return str(caught.value)


def test_sub_is_the_user_and_exp_the_end() -> None:
    identity = identity_of(payload(), RULES, NOW)
    assert (identity.user, identity.device, identity.expires_at) == ("alice", None, NOW + 60)
    assert identity.rights is ALL_RIGHTS
    assert identity.to is EVERYBODY


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (payload(sub=...), "missing required field `sub`"),
        (payload(exp=...), "missing required field `exp`"),
        (payload(iat=...), "missing required field `iat`"),
        (payload(sub=7), "Expected `str`"),
        (payload(sub=None), "Expected `str`"),
        (payload(sub=""), "sub: "),
        (payload(sub="a b"), "sub: "),
        (payload(sub="a{b}"), "sub: "),
        (payload(sub="a\nb"), "sub: "),
        (payload(sub="../" * 50), "sub: "),
        (payload(exp=str(NOW + 60)), "Expected `float`"),
        (payload(exp=True), "Expected `float`"),
        (payload(exp=math.inf), "malformed"),
        (payload(exp=math.nan), "malformed"),
        (payload(exp=-1), ">= 0"),
        (payload(exp=10**400), "out of range"),
        (payload(exp=1e17), "<="),
        (payload(iat=[]), "Expected `float`"),
        (payload(nbf="now"), "Expected `float`"),
        (payload(nbf=None), "Expected `float`"),
        (payload(exp=NOW - 11), "expired"),
        (payload(exp=NOW - 10), "expired"),
        (payload(exp=0), "expired"),
        (payload(nbf=NOW + 11), "not valid yet"),
        (payload(iat=NOW + 11), "not valid yet"),
        (payload(device="a b"), "device: "),
        (payload(device=""), "device: "),
        (payload(device=7), "Expected `str | null`"),
        (payload(can="send"), "Expected `array | null`"),
        (payload(can=["SEND"]), "Invalid enum value"),
        (payload(can=["send", "durable", "send"]), "length <= 2"),
        (payload(to="bob"), "Expected `array | null`"),
        (payload(to=[7]), "Expected `str`"),
        (payload(to=["x"] * 101), "length <= 100"),
        (payload(to=["x" * 257]), "length <= 256"),
        (b"", "truncated"),
        (b"null", "Expected `object`"),
        (b"[]", "Expected `object`"),
        (b'"alice"', "Expected `object`"),
        (b'{"sub":"\xff"}', "utf-8"),
        (b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "recursion"),
    ],
)
def test_what_does_not_count_is_refused_in_words(said: bytes, words: str) -> None:
    assert words in refusal(said)
    assert refusal(said).startswith("token: ")


def test_the_clocks_may_differ_by_the_leeway() -> None:
    for fields in ({"exp": NOW - 9.9}, {"nbf": NOW + 9.9}, {"iat": NOW + 9.9}):
        assert identity_of(payload(**fields), RULES, NOW).user == "alice"


@pytest.mark.parametrize(
    ("aud", "counts"),
    [
        ("chat", True),
        (["mail", "chat"], True),
        ("mail", False),
        ("chatter", False),
        (["mail"], False),
        ([], False),
        (..., False),
    ],
)
def test_aud_must_name_the_audience_of_the_settings(aud: Any, counts: bool) -> None:
    rules = Rules(audience="chat", issuer="", leeway_s=10)
    if counts:
        assert identity_of(payload(aud=aud), rules, NOW).user == "alice"
    else:
        assert "aud does not name this service" in refusal(payload(aud=aud), rules)


@pytest.mark.parametrize("aud", [None, 7, [7], {"chat": 1}])
def test_aud_is_text_or_texts(aud: Any) -> None:
    assert "aud" in refusal(payload(aud=aud), Rules("chat", "", 10))


def test_iss_must_be_the_issuer_of_the_settings() -> None:
    rules = Rules(audience="", issuer="https://id.example", leeway_s=10)
    assert identity_of(payload(iss="https://id.example"), rules, NOW).user == "alice"
    for iss in ("https://id.example/", "https://id.example.evil", ...):
        assert "iss is not the issuer" in refusal(payload(iss=iss), rules)


def test_without_an_audience_or_issuer_in_the_settings_a_token_may_have_any() -> None:
    assert identity_of(payload(aud="mail", iss="me"), RULES, NOW).user == "alice"


@pytest.mark.parametrize(
    ("can", "rights"),
    [
        ([], frozenset()),
        (["send"], frozenset({Right.SEND})),
        (["durable", "send"], ALL_RIGHTS),
        (["durable"], frozenset({Right.DURABLE})),
    ],
)
def test_can_says_what_they_may_do(can: list[str], rights: frozenset[Right]) -> None:
    assert identity_of(payload(can=can), RULES, NOW).rights == rights


def test_to_says_whom_they_may_send_to() -> None:
    recipients = identity_of(payload(to=["team-*", "bob"]), RULES, NOW).to
    assert "team-7" in recipients
    assert "bob" in recipients
    assert "eve" not in recipients
    assert identity_of(payload(to=["bob", "*"]), RULES, NOW).to is EVERYBODY
    assert "bob" not in identity_of(payload(to=[]), RULES, NOW).to


def test_a_token_that_does_not_say_has_what_the_settings_give() -> None:
    rules = Rules("", "", 10, rights=frozenset(), to=Recipients(["bob"]))
    identity = identity_of(payload(), rules, NOW)
    assert identity.rights == frozenset()
    assert "eve" not in identity.to
    assert identity_of(payload(can=["send"]), rules, NOW).rights == {Right.SEND}
    assert identity_of(payload(can=None), rules, NOW).rights == frozenset()


def test_a_device_is_the_only_one_it_may_be() -> None:
    assert identity_of(payload(device="phone"), RULES, NOW).device == "phone"


def test_what_else_a_token_says_is_not_for_us() -> None:
    assert identity_of(payload(role="admin", user="bob", jti=7), RULES, NOW).user == "alice"
