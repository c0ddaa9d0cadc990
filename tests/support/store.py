"""The store of a test run: one real server for all tests; each takes a key prefix of its own.

The product connects to it as a user who may do what it needs and no more, and with `--store-tls`
over TLS; tests arrange and look as its admin (`tests.support.valkey.as_admin`). With
`--store-cluster` and `--store-sentinel` it is several servers; tests that want a single one to hurt
it, or to look into it, are marked `one_server` and left out then.
"""

import dataclasses
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from router.store.embedded import EmbeddedServer
from router.store.server_address import StoreAddress
from scripts.measuring.redis_cluster import RedisCluster
from scripts.measuring.sentinels import NAME, Sentinels
from tests.support.certificates import Authority, Pair
from tests.support.valkey import admins, debian_program, free_port, several, tls_options

_TRUSTED: Final = "SSL_CERT_FILE"


@dataclasses.dataclass(frozen=True, slots=True)
class TlsAddress(StoreAddress):
    """As that of any private server, but our own commands come over TLS."""

    tls_port: int

    @property
    def url(self) -> str:
        """Return the address that our own commands use."""
        return f"rediss://{self.login}@localhost:{self.tls_port}"


class TlsStore(EmbeddedServer):
    """A private server with a TLS port beside the others: Debian's program, the wheel's has none.

    Args:
        data_dir: see `EmbeddedServer`.
        pair: the certificate that it shows.
        ca: that signed it.
    """

    def __init__(self, data_dir: Path, pair: Pair, ca: Authority) -> None:
        super().__init__(data_dir, append_fsync="no")
        self._options = {**tls_options(free_port(), pair, ca), "tls_auth_clients": "no"}

    @property
    def address(self) -> TlsAddress:
        """Return where it is."""
        fields = dataclasses.asdict(super().address)
        return TlsAddress(**fields, tls_port=int(self._options["tls_port"]))

    def launch(self, binary: Path | None = None) -> None:
        """Start the process; see `EmbeddedServer.launch`."""
        super().launch(debian_program())

    def _config(self, address: StoreAddress) -> bytes:
        lines = [f"{name.replace('_', '-')} {value}\n" for name, value in self._options.items()]
        return super()._config(address) + "".join(lines).encode()


@dataclasses.dataclass(frozen=True, slots=True)
class SeveralAddress:
    """Where a store of several servers is: what the product is given, and no more."""

    url: str


@dataclasses.dataclass(frozen=True, slots=True)
class SeveralServers:
    """What stands in the place of the private server.

    Args:
        address: what the product is given.
        servers: to hurt them.
    """

    address: SeveralAddress
    servers: RedisCluster | Sentinels


def _several(
    patch: pytest.MonkeyPatch, servers: RedisCluster | Sentinels, mode: str, **more: str
) -> Any:
    section = {"mode": mode, **more}
    admins[servers.url] = servers.admin_url
    several[servers.url] = section
    for key, value in section.items():  # for commands that are given an address and no settings
        patch.setenv(f"SWITCHBOARD_REDIS__{key}".upper(), value)
    return SeveralServers(SeveralAddress(servers.url), servers)


@pytest.fixture(scope="session")
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    """A running private server; `store.address.url` is where."""
    folder = tmp_path_factory.mktemp("store")
    if request.config.getoption("--store-cluster"):
        with RedisCluster(folder) as servers, pytest.MonkeyPatch.context() as patch:
            yield _several(patch, servers, "cluster")
        return
    if request.config.getoption("--store-sentinel"):
        with Sentinels(folder) as watched, pytest.MonkeyPatch.context() as patch:
            yield _several(patch, watched, "sentinel", sentinel_master=NAME)
        return
    if not request.config.getoption("--store-tls"):
        with EmbeddedServer(folder, append_fsync="no") as server:
            yield server
        return
    ca = Authority(folder)
    with (
        TlsStore(folder, ca.issue("store", "localhost"), ca) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        # Settings that name no CA trust whom this machine trusts: so every test's do.
        patch.setenv(_TRUSTED, str(ca.file))
        admins[server.address.url] = f"unix://:{server.address.password}@{server.address.socket}"
        yield server


@pytest.fixture
def prefix() -> str:
    """A key prefix that no other test has."""
    return f"t{secrets.token_hex(6)}"
