"""A folder that looks like a checkout to the commands of a document, and the terminals for them."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.playing import Stage
from tests.support.documents import ROOT
from tests.support.processes import free_port_range
from tests.support.transcripts import PORTS, Names

# Making .venv takes the network and minutes; the one that runs the tests stands in for it. What
# scripts/demo does after that is what the documents show.
_READY_VENV = (
    'cd "$(dirname "${BASH_SOURCE[0]}")/.."; make_venv() { PATH="$PWD/.venv/bin:$PATH"; }\n'
)


def _environment(first_port: int) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SWITCHBOARD_", "VIRTUAL_"))}
    # The documents say how to get at our programs; it must not work without that.
    ours = str(Path(sys.prefix, "bin"))
    path = [folder for folder in kept.get("PATH", "").split(os.pathsep) if folder != ours]
    return {
        **kept,
        "PATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
        "SWITCHBOARD_NODE__PORT": str(first_port),
        # Counters travel with heartbeats: quick ones save each command that shows them seconds.
        "SWITCHBOARD_LEASE__HEARTBEAT_S": "0.5",
        # A machine under load may take its time over a document that freezes a node.
        "SWITCHBOARD_LEASE__TTL_S": "60",
    }


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Terminals in a fresh checkout."""
    assert shutil.which("curl"), "the documents' commands need curl (Debian: apt install curl)"
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "config.toml").symlink_to(ROOT / "config.toml")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "demo").symlink_to(ROOT / "scripts" / "demo")
    (tmp_path / "scripts" / "_venv.sh").write_text(_READY_VENV)
    first_port = free_port_range(PORTS)
    with Stage(tmp_path, _environment(first_port), Names(first_port)) as stage:
        yield stage
