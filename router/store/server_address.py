"""Where our private server is, and how to enter it, as its folder remembers."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import msgspec

from router.store.rights import USER
from router.store.server_files import STATE


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where our server is, and its password; do not log it.

    Args:
        socket: path of its unix socket.
        port: its TCP port on 127.0.0.1.
        pid: its process id.
        password: of the user `default`, who may do everything.
        user_password: of the user `switchboard`, who may do what this program needs.
    """

    socket: str
    port: int
    pid: int
    password: str = field(repr=False)
    user_password: str = field(repr=False)

    @property
    def login(self) -> str:
        """Return whom our own commands connect as, with the password, as an address has it."""
        return f"{USER}:{self.user_password}"

    @property
    def url(self) -> str:
        """Return the address that our own commands use: the unix socket costs less CPU."""
        return f"unix://{self.login}@{quote(self.socket)}"

    @property
    def tcp_url(self) -> str:
        """Return the address for `redis-cli -u` and other tools; it may do everything."""
        return f"redis://default:{self.password}@127.0.0.1:{self.port}"  # redis-cli wants a name


def remembered(data_dir: Path) -> StoreAddress | None:
    """Return what the last server of this folder has left, a hint only; None for nothing.

    Args:
        data_dir: the folder that `switchboard up` was given.
    """
    try:
        return msgspec.json.decode((data_dir / STATE).read_bytes(), type=StoreAddress)
    except (OSError, msgspec.DecodeError):
        return None
