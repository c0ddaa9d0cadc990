"""`switchboard token`: what the nodes of the same settings take, and one sentence where not."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from node.auth.jwt import TokenGate
from node.identity import ALL_RIGHTS, Identity, Right
from router.counts import Counts
from router.settings import load
from tests.support.cli import Answer, call
from tests.support.tokens import SECRET, jwk, jwks, private_pem, public_pem


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings(auth: str = f"mode = 'jwt'\nsecret = '{SECRET}'") -> None:
    Path("config.toml").write_text(f"[auth]\n{auth}\n")


def write(name: str, content: bytes) -> None:
    Path(name).write_bytes(content)


async def identity(token: str) -> Identity:
    """Return who a node of the same settings says it is."""
    gate = TokenGate(load(None).auth, lambda request, scope: None, lambda request: True, Counts())
    return await gate.renew(token.strip())


def refusal(*arguments: str) -> str:
    answer: Answer = call("token", *arguments)
    assert (answer.status, answer.out) == (2, "")
    (line,) = answer.err.splitlines()
    assert SECRET not in line
    return line


async def test_it_prints_the_token_and_nothing_else() -> None:
    settings()
    answer = call("token", "alice")
    assert (answer.status, answer.err) == (0, "")
    found = await identity(answer.out)
    assert (found.user, found.device, found.rights) == ("alice", None, ALL_RIGHTS)
    assert 3_500 < found.expires_at - time.time() <= 3_600


async def test_json_says_until_when() -> None:
    settings()
    document = json.loads(call("token", "alice", "--ttl", "7d", "--json").out)
    assert set(document) == {"token", "user", "expires_at"}
    assert document["user"] == "alice"
    assert (await identity(document["token"])).expires_at == document["expires_at"]
    assert document["expires_at"] > time.time() + 600_000


async def test_it_may_say_what_its_user_may_do() -> None:
    settings()
    arguments = ("--device", "phone", "--can", "send", "--to", "bob", "--to", "team-*")
    found = await identity(call("token", "alice", *arguments).out)
    assert (found.device, found.rights) == ("phone", frozenset({Right.SEND}))
    assert "team-7" in found.to
    assert "eve" not in found.to
    assert (await identity(call("token", "alice", "--can", "").out)).rights == frozenset()
    both = call("token", "alice", "--can", "send, durable").out
    assert (await identity(both)).rights is ALL_RIGHTS


async def test_it_names_the_audience_and_issuer_of_the_settings() -> None:
    settings(f"mode = 'jwt'\nsecret = '{SECRET}'\naudience = 'chat'\nissuer = 'me'")
    token = call("token", "alice").out.strip()
    said: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    assert (said["aud"], said["iss"]) == ("chat", "me")
    assert (await identity(token)).user == "alice"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_private_key_signs_where_the_nodes_have_the_public_one(algorithm: str) -> None:
    write("public.pem", public_pem(algorithm))
    write("private.pem", private_pem(algorithm))
    settings(f"mode = 'jwt'\nalgorithms = ['{algorithm}']\nkey_file = 'public.pem'")
    token = call("token", "alice", "--key-file", "private.pem").out
    assert (await identity(token)).user == "alice"


async def test_it_may_name_one_of_several_keys() -> None:
    write("keys.json", jwks(jwk("ES256", "a", 1), jwk("ES256", "b")))
    write("private.pem", private_pem("ES256"))
    settings("mode = 'jwt'\nalgorithms = ['ES256']\njwks_file = 'keys.json'")
    token = call("token", "alice", "--key-file", "private.pem", "--kid", "b").out.strip()
    assert jwt.get_unverified_header(token)["kid"] == "b"
    assert (await identity(token)).user == "alice"


PUBLIC = "mode = 'jwt'\nalgorithms = ['ES256']\njwks_url = 'https://id.example/keys'"


@pytest.mark.parametrize(
    ("auth", "arguments", "words"),
    [
        ("mode = 'dev'", [], "connect as /ws?user=alice, or set auth.mode to jwt"),
        ("mode = 'application'", [], "the program around the nodes knows its users"),
        (PUBLIC, [], "--key-file: the nodes have public keys only: to sign with ES256"),
        (PUBLIC, ["--key-file", "none.pem"], "--key-file: No such file or directory: none.pem"),
        (PUBLIC, ["--key-file", "config.toml"], "--key-file: is no private key in PEM"),
        (PUBLIC, ["--key-file", "rsa.pem"], "--key-file: is not for ES256"),
        (None, ["--key-file", "rsa.pem"], "--key-file: HS256 is signed with the secret"),
        (None, ["--ttl", "1w"], "--ttl: '1w' is no time like 90s"),
        (None, ["--ttl", "0"], "--ttl: '0' is no time"),
        (None, ["--ttl", "-5"], "--ttl"),
        (None, ["--can", "admin"], "--can: 'admin' is not one of send, durable"),
        (None, ["--device", "a b"], "--device: "),
        (None, ["--to", "x" * 257], "length <= 256"),
        (None, ["--to", "x" * 200] + ["--to", "y" * 200] * 20, "--to: the token has more than"),
        ("mode = 'jwt'\nsecret_file = 'none'", [], "auth.secret_file: No such file"),
    ],
)
def test_where_it_cannot_it_says_in_one_sentence_why(
    auth: str | None, arguments: list[str], words: str
) -> None:
    write("rsa.pem", private_pem("RS256"))
    settings(*([] if auth is None else [auth]))
    assert words in refusal("alice", *arguments)


def test_a_user_that_cannot_be_is_refused() -> None:
    settings()
    assert "user: " in refusal("a b")
