"""One node as operators run it, for everybody who attacks it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from node.auth import Scope
from tests.support.processes import Switchboard, free_port_range
from tests.support.strangers import guarded
from tests.support.tokens import SECRET

# Whoever tries a hundred attacks from one address would only meet the limit of addresses.
_ENVIRONMENT = {
    "SWITCHBOARD_LIMITS__ADDRESS_HANDSHAKES_PER_SECOND": "1000",
    "SWITCHBOARD_LIMITS__ADDRESS_HANDSHAKES_BURST": "1000",
    "SWITCHBOARD_AUTH__SECRET": SECRET,
    "SWITCHBOARD_LOG__LEVEL": "info",
}


@dataclass(frozen=True, slots=True)
class Victim:
    """A node in a process of its own.

    Args:
        address: host, colon, port.
        pid: of the node.
        keys: of callers: scope -> key.
        said: the lines of its log, as they come.
    """

    address: str
    pid: int
    keys: dict[str, str]
    said: list[str]

    @property
    def rss_bytes(self) -> int:
        """Return how much memory it has."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def is_well(self, since: int) -> None:
        """Check that it lives, that nothing in it was surprised, and that it kept its secrets.

        Args:
            since: how many lines it had said before.
        """
        with urlopen(f"http://{self.address}/readyz", timeout=10) as answer:
            assert answer.status == 200
        os.kill(self.pid, 0)
        surprised = ("Traceback", "[error", "[critical", "ended unexpectedly", "Uncaught")
        assert [line for line in self.said[since:] if any(word in line for word in surprised)] == []
        for secret in (SECRET, *self.keys.values()):
            assert not any(secret in line for line in self.said)


@pytest.fixture(scope="session")
def victim_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """The node, in auth.mode "jwt", with a key for each scope."""
    folder = tmp_path_factory.mktemp("victim")
    overrides, keys = guarded(folder, **{scope.value: scope.value for scope in Scope})
    file = overrides["api"]["keys_file"]
    (folder / "config.toml").write_text(
        f'[auth]\nmode = "jwt"\naudience = "chat"\n[api]\nkeys_file = "{file}"\n'
    )
    port = str(free_port_range(1))
    arguments = ("up", "--nodes", "1", "--port", port, "--json")
    with Switchboard(folder, *arguments, environment=_ENVIRONMENT) as process:
        [node] = process.document()["nodes"]
        yield Victim(f"127.0.0.1:{port}", node["pid"], keys, process.said)


@pytest.fixture
def victim(victim_process: Victim) -> Iterator[Victim]:
    """The same node for all tests; after each it must be as well as before."""
    said = len(victim_process.said)
    yield victim_process
    victim_process.is_well(said)
