"""Tokens that play one kind of key against another, at a node whose keys are public ones."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster
from tests.support.logs import Logs
from tests.support.strangers import bearer, knock
from tests.support.tokens import claims, forged, jwk, private_pem, public_pem, signed_for

ALGORITHM: Final = "RS256"
NAME: Final = "public.pem"


@pytest.fixture
async def node(store: EmbeddedServer, tmp_path: Path, logs: Logs) -> AsyncIterator[str]:
    """The address of a node that believes one RSA key."""
    file = tmp_path / NAME
    file.write_bytes(public_pem(ALGORITHM))
    auth = {"mode": "jwt", "algorithms": [ALGORITHM], "key_file": str(file), "secret": ""}
    many = {"address_handshakes_per_second": 1_000, "address_handshakes_burst": 1_000}
    async with Cluster(store.address.url, nodes=1, auth=auth, limits=many) as cluster:
        yield cluster.nodes[0].address


def signed_with(secret: bytes, header: dict[str, Any]) -> str:
    """Return a token whose signature is an HMAC with any bytes, which no library would make."""
    unsigned = forged(header, claims()).rstrip(".")
    digest = hmac.new(secret, unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


async def test_who_signs_with_what_everybody_knows_is_not_believed(
    node: str, tmp_path: Path
) -> None:
    public = public_pem(ALGORITHM)
    described = json.dumps(jwk(ALGORITHM)).encode()
    hostile = {
        f"HMAC with {what}, called {alg}": signed_with(secret, {"alg": alg, **more})
        for what, secret, more in (
            ("the public key", public, {}),
            ("the public key without its end", public.strip(), {}),
            ("the public key as JWK", described, {}),
            ("nothing", b"", {}),
            ("what kid names", b"", {"kid": "/dev/null"}),
            ("the file that kid names", public, {"kid": str(tmp_path / NAME)}),
        )
        for alg in ("HS256", "RS256", "none", "hs256")
    }
    for name, text in hostile.items():
        assert (await knock(node, "", bearer(text))).status == 401, name


async def test_a_token_does_not_bring_its_own_key(node: str) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    mine = jwk(ALGORITHM, which=1)
    url = f"http://127.0.0.1:{port}/keys.json"
    for headers in (
        {"jwk": mine},
        {"jku": url},
        {"x5u": url},
        {"x5c": [private_pem(ALGORITHM, 1).decode()]},
        {"kid": url},
        {"kid": "../" * 9 + "proc/self/environ"},
        {"jwk": mine, "jku": url, "kid": "mine"},
    ):
        text = signed_for(ALGORITHM, which=1, headers=headers)
        assert (await knock(node, "", bearer(text))).status == 401, headers
    server.close()
    await server.wait_closed()
    assert asked == []
    assert (await knock(node, "", bearer(signed_for(ALGORITHM)))).status == 101


async def test_a_good_token_is_good_for_its_own_kind_only(node: str) -> None:
    good = signed_for(ALGORITHM)
    head, payload, signature = good.split(".")
    assert (await knock(node, "", bearer(good))).status == 101
    for text in (
        f"{head}.{payload}.",
        f"{head}.{payload}",
        f"{head}.{payload}.{signature[:-4]}",
        f"{head}.{payload}.{signature}.{signature}",
        f"{head}.{forged({}, claims('eve')).split('.')[1]}.{signature}",
        f"{forged({'alg': 'PS256'}, {}).split('.')[0]}.{payload}.{signature}",
        f"{forged({'alg': 'RS512'}, {}).split('.')[0]}.{payload}.{signature}",
        signed_for("ES256"),
        signed_for("EdDSA"),
    ):
        assert (await knock(node, "", bearer(text))).status == 401, text
