"""Requests that mean one thing to a proxy and another to a node, and requests that never end."""

import asyncio
import contextlib
import re
from typing import Final
from urllib.parse import quote

import pytest

from tests.attacks.conftest import Victim
from tests.support.strangers import ask, bearer

_DEADLINE_S: Final = 30.0
# What stands behind an attack: a request that a node may answer only if it reads the attack as the
# sender's first request, to its end.
HIDDEN: Final = b"GET /healthz?hidden HTTP/1.1\r\nHost: a\r\n\r\n"
POST: Final = b"POST /api/v1/broadcast HTTP/1.1\r\nHost: a\r\n"


async def converse(address: str, said: bytes, *, ends: bool = True) -> bytes:
    """Say something; return all that is answered.

    Args:
        address: of whom.
        said: all of it.
        ends: whether to say that this is the end; else whoever answers has to close.
    """
    host, _, port = address.rpartition(":")
    heard = b""
    async with asyncio.timeout(_DEADLINE_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(ConnectionError):
            writer.write(said)
            if ends:
                writer.write_eof()
            while got := await reader.read(65_536):
                heard += got
        writer.close()
    return heard


def statuses(heard: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3})", heard)]


SMUGGLED: Final = {
    "Content-Length and Transfer-Encoding": POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + HIDDEN,
    "Transfer-Encoding and Content-Length": POST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
    + HIDDEN,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + HIDDEN,
    "two lengths in one": POST + b"Content-Length: 0, 44\r\n\r\n" + HIDDEN,
    "a length with a sign": POST + b"Content-Length: +0\r\n\r\n" + HIDDEN,
    "a length below zero": POST + b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "a length in other digits": POST + b"Content-Length: \xd9\xa0\r\n\r\n" + HIDDEN,
    "a length with a low line": POST + b"Content-Length: 0_0\r\n\r\n" + HIDDEN,
    "a length in hexadecimal": POST + b"Content-Length: 0x0\r\n\r\n" + HIDDEN,
    "an encoding nobody knows": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked and not the last": POST
    + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"
    + HIDDEN,
    "chunked behind a tabulator": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a space before the colon": POST + b"Content-Length : 0\r\n\r\n" + HIDDEN,
    "a folded header": POST + b"X: a\r\n Content-Length: 0\r\n\r\n" + HIDDEN,
    "a folded length": POST + b"Content-Length:\r\n 0\r\n\r\n" + HIDDEN,
    "a chunk with a sign": POST + b"Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n" + HIDDEN,
    "a chunk of no length": POST + b"Transfer-Encoding: chunked\r\n\r\n\r\n\r\n" + HIDDEN,
    "a chunk that is too long": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"F" * 40 + b"\r\n",
    "a chunk below zero": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + HIDDEN,
    "a chunk that runs on": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab0\r\n\r\n" + HIDDEN,
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + HIDDEN,
    "two hosts in one": b"GET /healthz HTTP/1.1\r\nHost: a, b\r\n\r\n" + HIDDEN,
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n" + HIDDEN,
    "a host with a space": b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n" + HIDDEN,
    "a host with a name": b"GET /healthz HTTP/1.1\r\nHost: me@a\r\n\r\n" + HIDDEN,
    "a header without a name": b"GET /healthz HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n" + HIDDEN,
    "a header without a colon": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX\r\n\r\n" + HIDDEN,
    "a header with a zero": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n" + HIDDEN,
    "a header name with a zero": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX\x00: a\r\n\r\n" + HIDDEN,
    "a header with a lone return": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n"
    + HIDDEN,
    "a line with spaces": b"GET /healthz /x HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
    "no version": b"GET /healthz\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "no HTTP at all": b"\x00\xff" * 200 + b"\r\n\r\n",
    "a method with a zero": b"GE\x00T /healthz HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
}


@pytest.mark.parametrize("name", SMUGGLED)
async def test_what_could_be_read_in_two_ways_is_refused_with_all_behind_it(
    victim: Victim, name: str
) -> None:
    heard = await converse(victim.address, SMUGGLED[name])
    assert len(statuses(heard)) <= 1, heard
    assert set(statuses(heard)) <= {400, 401, 403, 404, 405, 411, 501}, heard
    assert b"hidden" not in heard


@pytest.mark.parametrize(
    "said",
    [
        b"GET /healthz HTTP/1.1\r\n" + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(5_000)) + b"\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /healthz?" + b"a=1&" * 3_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"A" * 100_000,
    ],
    ids=["a header", "headers", "an address", "a query", "a line"],
)
async def test_a_head_that_is_too_large_is_refused(victim: Victim, said: bytes) -> None:
    heard = await converse(victim.address, said)
    assert set(statuses(heard)) <= {400, 414, 431}
    assert not heard or statuses(heard)


async def test_a_body_that_never_ends_is_cut(victim: Victim) -> None:
    host, _, port = victim.address.rpartition(":")
    before = victim.rss_bytes
    key = bearer(victim.keys["send"]).encode()
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(POST + key + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(_DEADLINE_S):
            for _ in range(4_000):  # 250 MiB
                writer.write(chunk)
                await writer.drain()
            await reader.read()
    assert victim.rss_bytes - before < 64 * 1024 * 1024
    writer.close()


HOSTILE_IDS: Final = {
    "a slash": "a/b",
    "a slash, encoded twice": "a%2fb",
    "upwards": "..",
    "further upwards": "../../etc/passwd",
    "a zero": "a\x00b",
    "a new line": "a\r\nX-Injected: yes",
    "braces": "{alice}",
    "half a brace": "alice}",
    "another tag": "alice}:routes{bob",
    "a pattern": "*",
    "a space": "a b",
    "nothing to see": "a\u200bb",
    "the other direction": "a\u202eb",
    "a line separator": "a\u2028b",
    "too long": "x" * 129,
    "Lua": "';redis.call('FLUSHALL')--",
    "HTML": "<script>alert(1)</script>",
}
REFUSED: Final = (
    {*HOSTILE_IDS}
    - {"a pattern", "Lua", "HTML", "a slash", "upwards"}
    - {
        "further upwards",
        "a slash, encoded twice",
    }
)


@pytest.mark.parametrize("name", HOSTILE_IDS)
async def test_a_users_id_is_a_name_and_never_a_path_or_a_command(
    victim: Victim, name: str
) -> None:
    user, key = HOSTILE_IDS[name], bearer(victim.keys["admin"])
    given = quote(user, safe="")
    for method, path in (
        ("GET", f"/api/v1/users/{given}"),
        ("POST", f"/api/v1/users/{given}/messages"),
        ("DELETE", f"/api/v1/users/{given}/sessions"),
    ):
        told = await ask(victim.address, method, path, key, body=_body(method))
        assert told.status == 422 if name in REFUSED else told.status in {200, 202}, (path, told)
        assert "X-Injected" not in told.headers
        if told.status == 200 and method != "DELETE":
            assert told.document["user"] == user
    told = await ask(
        victim.address, "POST", "/api/v1/messages", key, body={"to": [user], "data": 1}
    )
    assert told.status == 422 if name in REFUSED else told.status == 200


def _body(method: str) -> object:
    return {"data": 1} if method == "POST" else None


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../../../config.toml", "/static/..%2f..%2f..%2fconfig.toml"),
        *("/static/%2e%2e/%2e%2e/config.toml", "/static/..%5c..%5cconfig.toml"),
        *("/static//etc/passwd", "//etc/passwd", "/static/%2fetc/passwd", "/static/....//x"),
        *("/static/dashboard.html%00.js", "/static/%ff", "/%2e%2e/config.toml", "/static/"),
        *("/dashboard/../api/v1/nodes", "/api/v1/users/../nodes", "/healthz/../metrics"),
        *("/api/v1/users/%2e%2e/%2e%2e/nodes", "/api/v1//nodes", "/API/v1/nodes", "/metrics/"),
        *("http://evil.example/metrics", "/metrics;x=/healthz", "/healthz%2f..%2fmetrics"),
    ],
)
async def test_no_path_leads_out_or_round(victim: Victim, path: str) -> None:
    told = await ask(victim.address, "GET", path)
    assert told.status in {400, 401, 403, 404}, told
    for word in (b"root:", b"keys_file", b"[auth]", b"switchboard_"):
        assert word not in told.body


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reason", "bye\r\nX-Injected: yes"),
        ("reason", "bye\x00"),
        ("reason", "x" * 101),
        ("reason", ["a"]),
    ],
)
async def test_a_reason_holds_no_line_breaks(victim: Victim, field: str, value: object) -> None:
    key = bearer(victim.keys["kick"])
    path = "/api/v1/users/alice/sessions"
    told = await ask(victim.address, "DELETE", path, key, body={field: value})
    assert told.status == 422
    assert told.document["field"] == "reason"
    told = await ask(victim.address, "DELETE", f"{path}?reason=a%0d%0aX-Injected:%20yes", key)
    assert told.status == 422
    assert "X-Injected" not in told.headers


@pytest.mark.parametrize("key", ["{x}", "a}b", "x" * 128, "*", "a:b:routes", "'", "sb:endpoints"])
async def test_an_idempotency_key_is_only_a_key(victim: Victim, key: str) -> None:
    lines = (bearer(victim.keys["send"]), f"Idempotency-Key: {key}")
    path = "/api/v1/users/nobody-is-here/messages"
    first = await ask(victim.address, "POST", path, *lines, body={"data": 1, "durable": True})
    assert first.status == 202
    again = await ask(victim.address, "POST", path, *lines, body={"data": 1, "durable": True})
    assert again.document["outcome"] == "duplicate"
    assert again.document["id"] == first.document["id"]


async def test_bodies_that_nest_or_grow_are_refused_and_cost_nothing(victim: Victim) -> None:
    key = bearer(victim.keys["send"])
    host, _, port = victim.address.rpartition(":")
    before = victim.rss_bytes
    bodies = [
        b'{"data":' + b"[" * 60_000 + b"]" * 60_000 + b"}",
        b'{"data":' + b'{"a":' * 20_000,
        b'{"to":' + b"[" * 60_000,
        b"[" * 120_000,
        b'{"data":' + b"9" * 100_000 + b"}",
        b'{"data":1,' + b",".join(b'"a%d":1' % n for n in range(8_000)) + b"}",
        b'{"data":"\xed\xa0\x80"}',
        b"\xff\xfe{\x00}\x00",
    ]
    for path in ("/api/v1/users/a/messages", "/api/v1/messages", "/api/v1/users/query"):
        for body in bodies:
            said = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{key}\r\n"
            said += f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            heard = await converse(victim.address, said.encode() + body, ends=False)
            assert len(statuses(heard)) == 1, (path, body[:40], heard)
            [status] = statuses(heard)
            assert status in {200, 202, 403, 413, 422}, (path, body[:40], heard)
    assert victim.rss_bytes - before < 64 * 1024 * 1024


async def test_nobody_writes_a_line_into_the_log(victim: Victim) -> None:
    forged = "1999-12-31T00:00:00Z [info     ] node is down"
    given = quote(f"a\r\n{forged}")
    await ask(victim.address, "GET", f"/api/v1/users/{given}", bearer(victim.keys["read"]))
    await ask(victim.address, "GET", f"/{given}")
    await converse(victim.address, f"GET /\n{forged}\n HTTP/1.1\r\n\r\n".encode())
    await ask(victim.address, "GET", f"/ws?user={given}&device={given}")
    assert (await ask(victim.address, "GET", "/healthz")).status == 200
    assert not [line for line in victim.said if line.startswith(forged[:10])]
    assert not [line for line in victim.said if line.endswith("node is down")]
