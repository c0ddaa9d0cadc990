"""A store that is lost and comes back from a backup, by the commands of docs/operations.md."""

import asyncio
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from router.errors import Unavailable
from router.model import Outcome
from tests.support.documents import read
from tests.support.followers import Follower
from tests.support.node_processes import ProcessCluster
from tests.support.valkey import ValkeyServer, debian_program
from tests.support.waiting import eventually

PASSWORD: Final = "a-password"
SHOWN: Final = [
    line.removeprefix("$ ")
    for fence in read("docs/operations.md").fences
    for line in fence.lines
    if line.startswith("$ redis-cli")
]


def as_shown(beginning: str, server: ValkeyServer, folder: Path) -> None:
    """Run the command of the document that ends so, on a server of the test."""
    (command,) = (each for each in SHOWN if beginning in each)
    words = shlex.split(
        command.replace("store.example.org --user admin", f"127.0.0.1 -p {server.port}")
    )
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "REDISCLI_AUTH": PASSWORD},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ERR" not in done.stdout, done.stdout


class Store:
    """A server with a password and a folder that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = ValkeyServer(debian_program(), folder, login=f":{PASSWORD}")
        folder.mkdir()

    def start(self, appendonly: str) -> None:
        self.server.start(requirepass=PASSWORD, appendonly=appendonly, appendfsync="always")

    def lose_everything(self) -> None:
        """Crash, and lose the disk."""
        self.server.stop()
        shutil.rmtree(self.folder)
        self.folder.mkdir()


@pytest.fixture
def store_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("b") / "s")
    store.start(appendonly="yes")
    yield store
    store.server.stop()


async def test_what_was_stored_when_the_backup_was_made_comes_to_its_users(
    store_on_disk: Store, tmp_path: Path
) -> None:
    store, alice = store_on_disk, Follower("alice")
    async with ProcessCluster(store.server.url, 1) as cluster:
        bob = await cluster.connect(cluster.nodes[0], "bob")
        for number in range(3):
            assert (
                await cluster.router.send("alice", number, durable=True)
            ).outcome is Outcome.QUEUED
        await asyncio.to_thread(as_shown, "--rdb", store.server, tmp_path)
        await cluster.router.send("alice", "after the backup", durable=True)

        for node in cluster.nodes:
            await node.kill()
        store.lose_everything()
        shutil.copy(tmp_path / "backup.rdb", store.folder / "dump.rdb")
        store.start(appendonly="no")
        await asyncio.to_thread(as_shown, "appendonly", store.server, tmp_path)
        await eventually(lambda: written(cluster), what="its own file has everything")
        store.server.stop()
        store.start(appendonly="yes")
        await eventually(lambda: answers(cluster), 30.0)

        node = await cluster.start("n2")
        await alice.connect(node.address)
        assert await alice.read(3) == [0, 1, 2]
        assert (
            await cluster.router.send("alice", "new", durable=True)
        ).outcome is Outcome.DELIVERED
        assert await alice.read(1) == ["new"]
        await bob.connection.wait_closed()

        async def clean() -> bool:
            """Nothing of the node that was alive in the backup is left."""
            members = await cluster.redis.smembers(cluster.keys.endpoints)
            return not any(member.startswith(b"n1.") for member in members)

        await eventually(clean, 30.0)
        assert (await cluster.router.user("bob")).sessions == []
        await alice.close()


async def test_a_node_that_lived_through_it_begins_anew(
    store_on_disk: Store, tmp_path: Path
) -> None:
    store, alice = store_on_disk, Follower("alice")
    async with ProcessCluster(store.server.url, 1) as cluster:
        (node,) = cluster.nodes
        await asyncio.to_thread(as_shown, "--rdb", store.server, tmp_path)
        await alice.connect(node.address)
        for number in range(3):
            await cluster.router.send("alice", number, durable=True)
        assert await alice.read(3) == [0, 1, 2]

        store.lose_everything()
        shutil.copy(tmp_path / "backup.rdb", store.folder / "dump.rdb")
        store.start(appendonly="no")

        await eventually(lambda: answers(cluster), 30.0)

        async def reached() -> bool:
            try:
                sent = await cluster.router.send("alice", "again", timeout=1.0)
            except Unavailable:  # it connects again, and was cut off once more
                return False
            return sent.outcome is Outcome.DELIVERED

        await eventually(reached, 60.0)
        assert (
            await cluster.router.send("alice", "kept", durable=True)
        ).outcome is Outcome.DELIVERED
        assert node.pid == cluster.nodes[0].pid
        await alice.close()


async def answers(cluster: ProcessCluster) -> bool:
    """Say whether the sender has its store again."""
    try:
        await cluster.router.nodes()
    except Unavailable:
        return False
    return True


async def written(cluster: ProcessCluster) -> bool:
    """Say whether the append-only file is on, and has all that was there before."""
    state = await cluster.redis.info("persistence")
    return (state["aof_enabled"], state["aof_rewrite_in_progress"]) == (1, 0) and (
        state["aof_last_bgrewrite_status"] == "ok" and not state["aof_rewrite_scheduled"]
    )
