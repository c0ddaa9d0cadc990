"""Nodes that speak TLS: clients, the API, other nodes, and a certificate that is replaced."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from node.certificates import peer_context
from node.frames import JSON_PROTOCOL
from node.peers import readiness, url_of
from router.settings import TlsSettings
from router.store.embedded import EmbeddedServer
from tests.support.certificates import Authority, Pair
from tests.support.cluster import Cluster
from tests.support.processes import Switchboard, free_port_range
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def pair(ca: Authority, tmp_path: Path) -> Pair:
    """The certificate in use, in a folder of its own."""
    made = ca.issue("first", "localhost", "127.0.0.1")
    place = Pair(tmp_path / "node.crt", tmp_path / "node.key")
    shutil.copy(made.certificate, place.certificate)
    shutil.copy(made.key, place.key)
    return place


def tls_of(pair: Pair) -> dict[str, str]:
    return {"certificate_file": str(pair.certificate), "key_file": str(pair.key)}


@pytest.fixture
async def secure(store: EmbeddedServer, pair: Pair) -> AsyncIterator[Cluster]:
    """Two nodes that speak TLS."""
    async with Cluster(store.address.url, nodes=2, tls=tls_of(pair)) as cluster:
        yield cluster


@contextlib.asynccontextmanager
async def client(
    address: str, ca: Authority, user: str, **options: Any
) -> AsyncIterator[ClientConnection]:
    """A client that believes only the CA of the test; welcomed."""
    async with connect(
        f"wss://{address}/ws?user={user}",
        ssl=ca.client_context(),
        subprotocols=[Subprotocol(JSON_PROTOCOL)],
        proxy=None,
        compression=None,
        max_size=None,
        **options,
    ) as connection:
        assert json.loads(await connection.recv())["type"] == "welcome"
        yield connection


def serial_of(address: str, ca: Authority) -> str:
    """Return the serial number of the certificate that a handshake sees."""
    host, _, port = address.rpartition(":")
    with ca.client_context().wrap_socket(socket.socket(), server_hostname=host) as probe:
        probe.settimeout(10)
        probe.connect((host, int(port)))
        found: Any = probe.getpeercert()
        return str(found["serialNumber"])


async def test_messages_are_proved_received_over_tls(secure: Cluster, ca: Authority) -> None:
    there, here = secure.nodes
    async with client(there.address, ca, "alice") as alice, client(here.address, ca, "bob") as bob:
        for size in (10, 60_000):
            data = "x" * size
            await bob.send(json.dumps({"type": "send", "ref": 1, "to": "alice", "data": data}))
            assert json.loads(await alice.recv())["data"] == data
            assert json.loads(await bob.recv())["outcome"] == "delivered"


async def test_the_api_answers_over_tls_and_names_its_own_origin(
    secure: Cluster, ca: Authority
) -> None:
    node = secure.nodes[0]
    assert node.listening.url == f"https://{node.address}/"
    answer = await AsyncHTTPClient().fetch(
        f"{node.listening.url}api/v1/nodes", ssl_options=ca.client_context()
    )
    assert [each["name"] for each in json.loads(answer.body)["nodes"]] == ["n1", "n2"]
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_a_message_that_is_too_large_is_refused_so_that_the_client_hears_it(
    secure: Cluster, ca: Authority
) -> None:
    async with client(secure.nodes[0].address, ca, "alice") as alice:
        with contextlib.suppress(ConnectionClosed):
            await alice.send("x" * 4_000_000)
        with pytest.raises(ConnectionClosed) as caught:
            await alice.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


async def test_a_client_that_does_not_read_is_found_out(secure: Cluster, ca: Authority) -> None:
    node = secure.nodes[0]
    async with secure.router() as router, client(node.address, ca, "deaf", max_queue=1) as deaf:
        deaf.transport.pause_reading()
        stream: Any = next(iter(node.hub))._socket._stream
        outcomes = set()
        for _ in range(400):
            result = await router.send("deaf", "x" * 60_000, confirm="written", timeout=5.0)
            outcomes.add(result.outcome.value)
            if len(node.hub) == 0:
                break
        assert len(node.hub) == 0, outcomes
        deaf.transport.abort()
        # What waits is written, or given up, before the node's loop ends.
        await eventually(stream._stream.closed, what="the connection is closed")


async def test_a_client_that_speaks_no_tls_disturbs_nobody(secure: Cluster, ca: Authority) -> None:
    host, _, port = secure.nodes[0].address.rpartition(":")
    for said in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\x00" * 100):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(said)
        heard = b""
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(10):
                heard = await reader.read()
        assert b"HTTP" not in heard
        writer.close()
    async with client(secure.nodes[0].address, ca, "alice"):
        pass


async def test_nodes_know_each_other_by_the_certificate_they_share(
    secure: Cluster, pair: Pair, ca: Authority
) -> None:
    url = url_of(secure.nodes[1].address, secure=True)
    assert await readiness(url, peer_context(TlsSettings(**tls_of(pair)))) is True
    stranger = ca.issue("stranger", "localhost")
    assert await readiness(url, peer_context(TlsSettings(**tls_of(stranger)))) is None


async def test_a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on(
    secure: Cluster, pair: Pair, ca: Authority
) -> None:
    node = secure.nodes[0]
    was = await asyncio.to_thread(serial_of, node.address, ca)
    async with client(node.address, ca, "alice") as alice:
        made = ca.issue("second", "localhost", "127.0.0.1")
        shutil.copy(made.key, pair.key)
        node.listening.reload_certificate()  # does not fit yet
        assert await asyncio.to_thread(serial_of, node.address, ca) == was
        shutil.copy(made.certificate, pair.certificate)
        node.listening.reload_certificate()
        assert await asyncio.to_thread(serial_of, node.address, ca) != was
        await alice.send('{"type":"ping"}')
        assert json.loads(await alice.recv())["type"] == "pong"


@pytest.mark.one_server
async def test_switchboard_up_speaks_tls_and_takes_a_new_certificate_on_sighup(
    pair: Pair, ca: Authority, tmp_path: Path
) -> None:
    port = free_port_range(1)
    (tmp_path / "config.toml").write_text(
        f'[tls]\ncertificate_file = "{pair.certificate.name}"\nkey_file = "{pair.key.name}"\n'
    )
    arguments = ("up", "--json", "--nodes", "1", "--port", str(port), "--config")
    with Switchboard(tmp_path, *arguments, str(tmp_path / "config.toml")) as up:
        document = await asyncio.to_thread(up.document)
        [node] = document["nodes"]
        assert node["url"] == f"https://127.0.0.1:{port}/"
        address = f"127.0.0.1:{port}"
        was = await asyncio.to_thread(serial_of, address, ca)
        made = ca.issue("third", "localhost", "127.0.0.1")
        shutil.copy(made.certificate, pair.certificate)
        shutil.copy(made.key, pair.key)
        os.kill(node["pid"], signal.SIGHUP)

        async def renewed() -> bool:
            return await asyncio.to_thread(serial_of, address, ca) != was

        await eventually(renewed)
        assert up.stop() == 0


async def test_a_certificate_that_cannot_be_used_stops_the_start_with_one_sentence(
    pair: Pair, tmp_path: Path
) -> None:
    pair.key.unlink()
    (tmp_path / "config.toml").write_text(
        f'[tls]\ncertificate_file = "{pair.certificate}"\nkey_file = "{pair.key}"\n'
    )
    with Switchboard(tmp_path, "up", "--config", str(tmp_path / "config.toml")) as up:
        assert await asyncio.to_thread(up.wait) == 1
        assert up.said == [
            f"switchboard: tls.key_file: '{pair.key}' cannot be read: No such file or directory"
        ]
