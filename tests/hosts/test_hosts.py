"""Hosts are what they claim: apart from each other, linked, and gone at the end."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts.faults import hosts as hosts_module
from scripts.faults.__main__ import app
from scripts.faults.hosts import Hosts, missing
from scripts.faults.links import Links
from scripts.measuring.children import Children
from scripts.measuring.place import NAMESPACES, Place, tool

ROOT = Path(__file__).resolve().parents[2]
A, B, PORT = "a-host", "b-host", 7_000
LATE_S = 0.2
ECHO = """
import asyncio, sys
async def echo(reader, writer):
    while data := await reader.read(100):
        writer.write(data)
    writer.close()
async def main():
    async with await asyncio.start_server(echo, sys.argv[1], int(sys.argv[2])) as server:
        await server.serve_forever()
asyncio.run(main())
"""


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with Hosts((A, B)) as made:
        yield made


@pytest.fixture
async def links(hosts: Hosts, tmp_path: Path) -> AsyncIterator[Links]:
    """Links between two hosts, on the second of which somebody answers."""
    async with Children(tmp_path) as children:
        links = Links(hosts, children)
        await links.start()
        there = hosts.places[B]
        command = there.command([sys.executable, "-c", ECHO, there.host, str(PORT)])
        await children.start("echo", command)
        async with asyncio.timeout(30):
            while not await _answers(hosts, 5.0):
                await asyncio.sleep(0.05)
        yield links


async def _answers(hosts: Hosts, limit_s: float) -> bool:
    """Say whether somebody on the second host answers to the first one in time."""
    there = Place(hosts.places[B].host, hosts.places[A].namespace)
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await there.connect(PORT)
            writer.write(b"ping")
            said = await reader.readexactly(4)
    except (OSError, TimeoutError):
        return False
    writer.close()
    await writer.wait_closed()
    return said == b"ping"


async def test_packets_are_lost_until_the_link_is_mended(hosts: Hosts, links: Links) -> None:
    both = [(A, B), (B, A)]
    await links.lose(both)
    assert not await _answers(hosts, 1.0)
    assert await links.mend(both) >= 1
    assert await _answers(hosts, 10.0)


@pytest.mark.parametrize("way", [(A, B), (B, A)])
async def test_packets_are_lost_one_way_and_come_through_the_other(
    hosts: Hosts, links: Links, way: tuple[str, str]
) -> None:
    await links.lose([way])
    assert not await _answers(hosts, 1.0)
    # Only those of that way were dropped; of the others nobody has counted any.
    assert await links.mend([way[::-1]]) == 0
    assert not await _answers(hosts, 1.0)
    assert await links.mend([way]) >= 2
    assert await _answers(hosts, 10.0)


async def test_packets_are_late_by_what_was_asked_for(hosts: Hosts, links: Links) -> None:
    loop = asyncio.get_running_loop()
    await links.delay([(A, B)], LATE_S)
    begun = loop.time()
    assert await _answers(hosts, 20.0)
    assert loop.time() - begun >= 2 * LATE_S  # once for the connection, once for what is said
    assert await links.mend([(A, B)]) >= 2


async def test_a_host_sees_no_loopback_but_its_own(hosts: Hosts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        _, writer = await Place().connect(port)
        writer.close()
        await writer.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await Place(namespace=hosts.places[A].namespace).connect(port)


def test_nothing_is_left_of_hosts_after_a_failure() -> None:
    names: list[str] = []

    def fail() -> None:
        with Hosts((A, B)) as made:
            names.extend((made.switch.namespace, *(p.namespace for p in made.places.values())))
            assert all((NAMESPACES / name).exists() for name in names)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert len(names) == 3
    assert not any((NAMESPACES / name).exists() for name in names)


def test_what_a_killed_run_has_left_is_removed_by_the_next_one() -> None:
    program = (
        "import os, signal\n"
        "from scripts.faults.hosts import Hosts\n"
        f"with Hosts(({A!r},)) as made:\n"
        "    print(made.switch.namespace, made.places['a-host'].namespace, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", program]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    left = killed.stdout.split()
    assert len(left) == 2, killed.stderr
    assert all((NAMESPACES / name).exists() for name in left)
    with Hosts(()):
        assert not any((NAMESPACES / name).exists() for name in left)


def test_who_may_not_make_hosts_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    assert missing() == "only root may make hosts"
    refused = CliRunner().invoke(app, ["--hosts", "--seconds", "5"])
    assert refused.exit_code == 2
    assert "only root may make hosts" in refused.output


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts_module, "tool", lambda name: None if name == "nft" else tool(name))
    assert missing() == "hosts need nft (Debian: apt install iproute2 nftables)"
