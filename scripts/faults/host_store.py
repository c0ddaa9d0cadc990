"""The store of a run on a host of its own."""

import shlex
from pathlib import Path
from typing import Final

from router.store.binary import find_binary
from router.store.embedded import EmbeddedServer
from scripts.measuring.place import Place

_PROGRAM: Final = "on-its-host"


class HostServer(EmbeddedServer):
    """The product's own server, which listens on the address of its host, too.

    Its unix socket is a file, so whoever looks into it needs no way through the network.

    Args:
        data_dir, append_fsync: as of `EmbeddedServer`.
        place: its host.
    """

    def __init__(self, data_dir: Path, append_fsync: str, place: Place) -> None:
        super().__init__(data_dir, append_fsync)
        self._place = place

    def launch(self, binary: Path | None = None) -> None:
        """Start the process on its host; see `EmbeddedServer.launch`."""
        program = str(binary or find_binary())
        command = self._place.command([program, "--bind", "127.0.0.1", self._place.host])
        script = self.data_dir / _PROGRAM
        script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
        script.chmod(0o700)
        super().launch(script)
