"""The Lua scripts: one file per operation, run by EVALSHA.

A script's header names its KEYS, ARGV and return values. Source: https://redis.io/docs/latest/
develop/programmability/eval-intro/
"""

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Final

from router.store.resp import Argument, Command, pack


@dataclass(frozen=True, slots=True)
class Script:
    """One script: `source` for SCRIPT LOAD, `sha` for EVALSHA."""

    name: str
    source: bytes
    sha: str

    def pack(self, keys: tuple[str, ...], *args: Argument) -> Command:
        """Return the EVALSHA command.

        Args:
            keys: every key it touches, as its header lists them; all in one Cluster slot.
            args: its arguments, likewise.
        """
        return Command(keys[0], pack("EVALSHA", self.sha, len(keys), *keys, *args))

    def pack_whole(self, keys: tuple[str, ...], *args: Argument) -> Command:
        """Return the EVAL command, which also loads the script; arguments as `pack`.

        It cannot run into NOSCRIPT, and costs the store the script's text and its hash each time.
        """
        return Command(keys[0], pack("EVAL", self.source, len(keys), *keys, *args))


def _read(name: str) -> Script:
    source = resources.files("router.store").joinpath("lua", f"{name}.lua").read_bytes()
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest())


OPEN: Final = _read("open")
HEARTBEAT: Final = _read("heartbeat")
CLOSE: Final = _read("close")
INDEX: Final = _read("index")
REGISTER: Final = _read("register")
UNREGISTER: Final = _read("unregister")
FORGET: Final = _read("forget")
LOOKUP: Final = _read("lookup")
RELEASE: Final = _read("release")
RESUME: Final = _read("resume")
ACK: Final = _read("ack")
PUSH: Final = _read("push")
TRIM: Final = _read("trim")
FENCE: Final = _read("fence")
SALVAGE: Final = _read("salvage")
BURY: Final = _read("bury")
MEND: Final = _read("mend")

ALL: Final = (
    OPEN,
    HEARTBEAT,
    CLOSE,
    INDEX,
    REGISTER,
    UNREGISTER,
    FORGET,
    LOOKUP,
    RELEASE,
    RESUME,
    ACK,
    PUSH,
    TRIM,
    FENCE,
    SALVAGE,
    BURY,
    MEND,
)
LOAD_ALL: Final = b"".join(pack("SCRIPT", "LOAD", script.source) for script in ALL)
