"""TLS to the store: who is let in, who is not, and what they are told."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from router.errors import InvalidSettings, SwitchboardError
from router.settings import RedisSettings
from router.store.connect import Connector
from router.store.modes import make_store
from router.store.resp import keyless
from tests.support.certificates import Authority, Pair
from tests.support.valkey import TlsServer, debian_program


@dataclass(frozen=True, slots=True)
class World:
    """Two authorities, and servers with certificates of the first."""

    folder: Path
    ca: Authority
    other: Authority

    @contextlib.contextmanager
    def server(self, pair: Pair, **options: str) -> Iterator[TlsServer]:
        """Run a server that shows this certificate."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        found = TlsServer(debian_program(), place, pair, self.ca)
        try:
            found.start(wait=True, **options)
            yield found
        finally:
            found.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("t")
    return World(folder, Authority(folder), Authority(folder, "other"))


@pytest.fixture(scope="module")
def good(world: World) -> Iterator[TlsServer]:
    with world.server(world.ca.issue("good", "localhost", "127.0.0.1")) as found:
        yield found


async def said(url: str, **settings: Any) -> str:
    """Connect and ask; return what the user is told: "" when all is well."""
    way = make_store(Connector(url, RedisSettings(**settings)), "test")
    try:
        await way.open()
    except SwitchboardError as exc:
        return str(exc)
    assert await way.call(keyless("PING")) == b"PONG"
    await way.close()
    return ""


async def test_a_store_whose_ca_is_known_is_talked_to(world: World, good: TlsServer) -> None:
    assert await said(good.tls_url, ca_file=str(world.ca.file)) == ""
    by_address = good.tls_url.replace("localhost", "127.0.0.1")
    assert await said(by_address, ca_file=str(world.ca.file)) == ""


async def test_what_is_large_comes_through_in_both_directions(
    world: World, good: TlsServer
) -> None:
    way = make_store(Connector(good.tls_url, RedisSettings(ca_file=str(world.ca.file))), "test")
    await way.open()
    value = bytes(range(256)) * 20_000
    assert await way.command("SET", "large", value) == b"OK"
    assert await way.command("GET", "large") == value
    await way.close()


async def test_one_of_another_ca_is_not_trusted(world: World, good: TlsServer) -> None:
    for settings in ({"ca_file": str(world.other.file)}, {}):
        words = await said(good.tls_url, **settings)
        assert "not from an issuer that we trust: set redis.ca_file" in words
        assert words.startswith(f"the store at localhost:{good.tls_port} is not available")


async def test_the_systems_issuers_are_not_trusted_beside_our_own(
    world: World, good: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(world.ca.file))
    assert await said(good.tls_url) == ""
    assert "issuer" in await said(good.tls_url, ca_file=str(world.other.file))


@pytest.mark.parametrize(
    ("days", "begun", "words"),
    [
        (-1, 9, "its certificate has expired: renew it"),
        (30, -5, "its certificate is not valid yet: set the clocks right"),
    ],
)
async def test_a_certificate_out_of_its_time_is_refused(
    world: World, days: int, begun: int, words: str
) -> None:
    pair = world.ca.issue("untimely", "localhost", days=days, begun=begun)
    with world.server(pair) as server:
        for check in (True, False):
            heard = await said(server.tls_url, ca_file=str(world.ca.file), check_hostname=check)
            assert words in heard


async def test_a_certificate_for_another_host_is_refused_unless_told(world: World) -> None:
    with world.server(world.ca.issue("elsewhere", "elsewhere.example")) as server:
        ca = str(world.ca.file)
        assert "for another host name: write the name" in await said(server.tls_url, ca_file=ca)
        assert await said(server.tls_url, ca_file=ca, check_hostname=False) == ""
        strange = await said(server.tls_url, ca_file=str(world.other.file), check_hostname=False)
        assert "issuer" in strange


async def test_a_store_that_asks_for_our_certificate_gets_it(world: World) -> None:
    pair = world.ca.issue("asking", "localhost")
    with world.server(pair, tls_auth_clients="yes") as server:
        ca = str(world.ca.file)
        for files in ({}, _files(world.other.issue("theirs"))):
            words = await said(server.tls_url, ca_file=ca, **files)
            assert "set redis.certificate_file and redis.key_file" in words
        assert await said(server.tls_url, ca_file=ca, **_files(world.ca.issue("ours"))) == ""


async def test_files_are_read_for_each_connection(world: World) -> None:
    files = _files(world.other.issue("renewed"))
    with world.server(world.ca.issue("asking", "localhost"), tls_auth_clients="yes") as server:
        connector = Connector(server.tls_url, RedisSettings(ca_file=str(world.ca.file), **files))
        with pytest.raises(SwitchboardError):
            await make_store(connector, "test").open()
        world.ca.issue("renewed")
        way = make_store(connector, "test")
        await way.open()
        await way.close()


async def test_a_plain_server_behind_rediss_is_a_sentence(world: World, good: TlsServer) -> None:
    url = good.tcp_url.replace("redis://", "rediss://")
    words = await said(url, ca_file=str(world.ca.file), connect_timeout_s=0.3)
    assert "name its TLS port or begin redis.url with redis://" in words


async def test_a_server_with_tls_behind_redis_is_a_sentence(good: TlsServer) -> None:
    words = await said(good.tls_url.replace("rediss://", "redis://user:secret@"))
    assert "begin redis.url with rediss://" in words
    assert "secret" not in words


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"ca_file": "nowhere.pem"}, "redis.ca_file: nowhere.pem: No such file or directory"),
        ({"ca_file": "good.key"}, "redis.ca_file: good.key: not a PEM file that will do"),
        ({"certificate_file": "good.crt"}, "redis.key_file: good.crt: not a PEM file"),
        ({"certificate_file": "good.crt", "key_file": "ca.pem"}, "redis.key_file: good.crt: not"),
    ],
)
async def test_a_file_that_cannot_be_used_is_named(
    world: World,
    good: TlsServer,
    monkeypatch: pytest.MonkeyPatch,
    keys: dict[str, str],
    what: str,
) -> None:
    monkeypatch.chdir(world.folder)
    settings = RedisSettings(**{"ca_file": "ca.pem", **keys})
    with pytest.raises(InvalidSettings) as caught:
        await make_store(Connector(good.tls_url, settings), "test").open()
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def _files(pair: Pair) -> dict[str, str]:
    return {"certificate_file": str(pair.certificate), "key_file": str(pair.key)}
