"""Schemathesis reads the OpenAPI document of a real node, and finds no answer it does not allow."""

import asyncio
import sys
from pathlib import Path
from typing import Final

import pytest

from router.store.embedded import EmbeddedServer
from tests.support.cluster import Cluster
from tests.support.documents import ROOT
from tests.support.logs import Logs

_CONFIG: Final = Path(__file__).with_name("schemathesis.toml")
_PROGRAM: Final = Path(sys.executable).with_name("st")


async def run(cluster: Cluster, folder: Path, examples: int, seed: int) -> None:
    """Run every phase and every check of schemathesis against the first node."""
    address = cluster.nodes[0].address
    process = await asyncio.create_subprocess_exec(
        *(
            _PROGRAM,
            "--config-file",
            _CONFIG,
            "--no-color",
            "run",
            f"http://{address}/api/v1/openapi.json",
        ),
        *("--checks", "all", "--max-examples", str(examples), "--seed", str(seed)),
        *("--generation-database", "none", "--request-timeout", "10"),
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    print(said.decode(errors="replace"))
    assert process.returncode == 0
    assert b"No issues found" in said


async def explore(store: EmbeddedServer, folder: Path, examples: int, seed: int) -> None:
    async with Cluster(store.address.url, nodes=1) as cluster:
        for user in ("alice", "böb", "query"):
            await cluster.connect(0, user)
        await run(cluster, folder, examples, seed)


async def test_no_check_fails(store: EmbeddedServer, tmp_path: Path, logs: Logs) -> None:
    await explore(store, tmp_path, examples=10, seed=1)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [2, 3, 4])
async def test_no_check_fails_for_long(
    store: EmbeddedServer, tmp_path: Path, logs: Logs, seed: int
) -> None:
    await explore(store, tmp_path, examples=150, seed=seed)
