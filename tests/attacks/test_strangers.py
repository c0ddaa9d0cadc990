"""Who may not come in gets the documented refusals and nothing else, at every address there is.

The addresses are those that a node really serves: a new one is tried without being named here, and
fails until it either refuses strangers or stands in `FOR_EVERYBODY`.
"""

import hmac
import re
import time
from typing import Any, Final

import pytest
from tornado.web import Application

from node.auth import apikeys
from node.node import Node
from router.settings import Settings
from tests.attacks.conftest import Victim
from tests.support.strangers import Told, ask, bearer, knock
from tests.support.tokens import OTHER_SECRET, SECRET, claims, forged, token

# docs/security.md: a stranger may ask for health, and read the files of the pages.
FOR_EVERYBODY: Final = ("/healthz", "/readyz", "/dashboard", "/static/")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
GOOD: Final[dict[str, Any]] = {"aud": "chat"}
JWK: Final = {"kty": "oct", "k": "AAAA", "kid": "mine"}


def hostile_tokens() -> dict[str, str]:
    """Return tokens that look as if they counted."""
    said = claims("alice", **GOOD)
    past, future = int(time.time()) - 60, int(time.time()) + 600
    return {
        "nothing in it": "..",
        "no token": "x" * 3_000,
        "too long": token(note="x" * 5_000, **GOOD),
        "alg none": forged({"alg": "none", "typ": "JWT"}, said),
        "alg None": forged({"alg": "None"}, said),
        "alg none, signed": forged({"alg": "none"}, said, b"x" * 32),
        "no alg": forged({"typ": "JWT"}, said, b"x" * 32),
        "no signature": token(**GOOD).rpartition(".")[0] + ".",
        "another secret": token(key=OTHER_SECRET, **GOOD),
        "no secret": token(key="x" * 32, **GOOD).rpartition(".")[0] + ".AAAA",
        "another family": forged({"alg": "RS256"}, said, b"x" * 256),
        "another hash": token(algorithm="HS512", **GOOD),
        "expired": token(exp=past, **GOOD),
        "not yet": token(nbf=future, **GOOD),
        "from the future": token(iat=future, exp=future + 600, **GOOD),
        "never ends": token(exp=None, **GOOD),
        "wrong aud": token(aud="other"),
        "no aud": token(),
        "kid is a path": forged({"alg": "HS256", "kid": "../../etc/passwd"}, said, b"x" * 32),
        "kid is a device": forged({"alg": "HS256", "kid": "/dev/null"}, said, b"x" * 32),
        "kid is SQL": forged({"alg": "HS256", "kid": "' UNION SELECT 'x"}, said, b"x" * 32),
        "kid is a list": forged({"alg": "HS256", "kid": ["a"]}, said, b"x" * 32),
        "brings its key": forged({"alg": "HS256", "jwk": JWK}, said, b"x" * 32),
        "names its keys": forged(
            {"alg": "HS256", "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"},
            said,
            b"x" * 32,
        ),
        "critical": token(headers={"crit": ["exp"], "exp": 1}, **GOOD),
        "unencoded": token(headers={"crit": ["b64"], "b64": False}, **GOOD),
        "nobody": token("", **GOOD),
        "two users in one": token("alice\nbob", **GOOD),
        "a list of users": token(["alice"], **GOOD),  # type: ignore[arg-type]
        "braces": token("{alice}", **GOOD),
        "a number that is none": forged({"alg": "HS256"}, said | {"exp": "9" * 400}, b"x" * 32),
    }


def strangers(keys: dict[str, str]) -> dict[str, list[str]]:
    """Return the lines that each stranger adds to the head of a request."""
    right = keys["admin"]
    callers = {
        "no key": [],
        "a key that never was": [bearer(apikeys.make("admin"))],
        "a key with one letter changed": [bearer(right[:-1] + ("A" if right[-1] != "A" else "B"))],
        "a key cut short": [bearer(right[:-1])],
        "a key and more": [bearer(right + "A")],
        "two keys": [bearer(right), bearer(right)],
        "another scheme": [f"Authorization: Basic {right}"],
        "a cookie": [f"Cookie: key={right}; token={token(**GOOD)}"],
        "the key as a header of its own": [f"X-Api-Key: {right}"],
        "who says they are local": ["X-Forwarded-For: 127.0.0.1", "X-Real-Ip: 127.0.0.1"],
        "who says it is another address": ["X-Original-Url: /healthz", "X-Rewrite-Url: /healthz"],
        "who says it is another method": ["X-Http-Method-Override: GET"],
    }
    tokens = {f"a token: {name}": [bearer(text)] for name, text in hostile_tokens().items()}
    return callers | tokens


def addresses() -> dict[str, str]:
    """Return each pattern of what a node serves to strangers, with an address that it takes."""
    settings = Settings.model_validate({"auth": {"mode": "jwt", "secret": SECRET}})
    app: Application = Node(settings, "redis://127.0.0.1:1")._served.public()
    found = {}
    for rule in app.wildcard_router.rules:
        pattern: str = rule.matcher.regex.pattern.rstrip("$")  # type: ignore[attr-defined]
        example = re.sub(r"\(\?P<\w+>[^)]*\)", "alice", pattern)
        example = example.replace("(.*)", "x").replace("()", "").replace("(?:/alice)?", "")
        example = re.sub(r"\(\?:[^)]*\)\??", "", example).replace("\\", "")
        assert re.fullmatch(pattern, example), (pattern, example)
        found[pattern] = example
    return found


def is_for_everybody(path: str) -> bool:
    return path.startswith(FOR_EVERYBODY) and path != "/dashboard/feed"


def is_refusal(told: Told) -> bool:
    """Say whether an answer is one of those that tell nothing."""
    if told.status not in {401, 403, 404, 405}:
        return False
    if told.status == 401 and told.headers.get("WWW-Authenticate") is None:
        return False
    return told.headers["X-Content-Type-Options"] == "nosniff"


async def test_every_address_is_looked_at() -> None:
    found = addresses()
    assert len(found) > 18
    assert sum(is_for_everybody(path) for path in found.values()) <= 8
    assert {"/ws", "/dashboard/feed", "/metrics"} <= set(found.values())


async def test_whoever_has_no_key_gets_refusals_at_every_address(victim: Victim) -> None:
    for path in addresses().values():
        if is_for_everybody(path) or path == "/ws":
            continue
        for name, lines in strangers(victim.keys).items():
            for method in ("GET", "POST", "DELETE"):
                told = await ask(victim.address, method, path, *lines, body={"data": 1})
                assert is_refusal(told), (method, path, name, told)
                for secret in (SECRET, *victim.keys.values()):
                    assert secret.encode() not in told.body


async def test_no_other_method_gets_round_it(victim: Victim) -> None:
    for path in addresses().values():
        if is_for_everybody(path) or path == "/ws":
            continue
        for method in METHODS:
            told = await ask(victim.address, method, path)
            assert is_refusal(told), (method, path, told)


async def test_a_page_from_elsewhere_gets_nothing_even_with_a_key(victim: Victim) -> None:
    right = bearer(victim.keys["admin"])
    origins = ("https://evil.example", "null", f"http://{victim.address}.evil.example", "file://")
    for path in addresses().values():
        if is_for_everybody(path):
            continue
        for origin in origins:
            told = await ask(victim.address, "GET", path, right, f"Origin: {origin}")
            assert told.status in {403, 404, 405} or path == "/ws", (path, origin, told)
            assert "Access-Control-Allow-Origin" not in told.headers
            asked = await ask(
                *(victim.address, "OPTIONS", path, f"Origin: {origin}"),
                "Access-Control-Request-Method: POST",
            )
            assert is_refusal(asked), (path, origin, asked)


@pytest.mark.parametrize("name", hostile_tokens())
async def test_a_hostile_token_opens_no_websocket(victim: Victim, name: str) -> None:
    text = hostile_tokens()[name]
    nothing: list[str] = []
    for query, lines in (
        ("", [bearer(text)]),
        (f"?token={text}", nothing),
        ("?user=alice", [bearer(text)]),
    ):
        told = await knock(victim.address, query, *lines)
        assert told.status in {401, 400}, (name, told)
    offered = f"Sec-WebSocket-Protocol: switchboard.v1.json, switchboard.bearer.{text}"
    assert (await knock(victim.address, "", offered)).status in {401, 400}
    assert (await knock(victim.address, "", bearer(token(**GOOD)))).status == 101


async def test_a_page_from_elsewhere_opens_no_websocket_even_with_a_token(victim: Victim) -> None:
    right = bearer(token(**GOOD))
    for origin in ("https://evil.example", "null", f"http://{victim.address}0", "http://127.0.0.1"):
        assert (await knock(victim.address, "", right, f"Origin: {origin}")).status == 403, origin
    twice = (f"Origin: http://{victim.address}", "Origin: https://evil.example")
    assert (await knock(victim.address, "", right, *twice)).status in {400, 403}
    assert (
        await knock(victim.address, "", right, f"Origin: http://{victim.address}")
    ).status == 101


async def test_a_stranger_makes_no_ticket_and_a_guessed_one_is_none(victim: Victim) -> None:
    for text in ("st_", "st_" + "A" * 43, "st_../../x", "st_*", "st_{x}"):
        assert (await knock(victim.address, f"?token={text}")).status == 401, text


async def test_a_key_is_compared_in_constant_time_on_one_way_for_all(
    monkeypatch: pytest.MonkeyPatch, victim: Victim, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    keys = {name: apikeys.make(name) for name in ("a", "b", "c")}
    file = folder / "keys.toml"
    file.write_text(
        "".join(
            f'[[key]]\nname = "{name}"\nsha256 = "{apikeys.digest_of(key).hex()}"\n'
            'scopes = ["send"]\n'
            for name, key in keys.items()
        )
    )
    known = apikeys.ApiKeys(file)
    compared: list[int] = []
    compare = hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        compared[-1] += 1
        assert len(one) == len(other)
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    tried = (*keys.values(), apikeys.make("a"), apikeys.make("nobody"), "", "x", keys["a"] + "x")
    for key in tried:
        compared.append(0)
        known._find(key)
    assert compared == [len(keys)] * len(tried)
