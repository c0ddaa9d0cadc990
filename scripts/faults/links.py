"""The links between the hosts of a run: what is lost on them, and what is late.

Packets are dropped on the switch, on their way in, so both hosts believe that they have sent them.
Nobody is told anything: no reset, no "unreachable".
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from scripts.faults.delay_line import DEVICE
from scripts.faults.hosts import BRIDGE, Hosts
from scripts.measuring.children import Child, ChildFailed, Children, python
from scripts.measuring.place import tool

Pair = tuple[str, str]
"""From which host, to which."""
_TABLE: Final = "links"
_LOST, _LATE = "lost", "late"
_LIMIT_S: Final = 20.0


class Links:
    """Links that can be broken, one direction at a time.

    Args:
        hosts: that are linked.
        children: owns the program that holds packets up.
    """

    def __init__(self, hosts: Hosts, children: Children) -> None:
        self._hosts = hosts
        self._children = children
        self._line: Child
        self._delays: dict[Pair, float] = {}
        self._asking = asyncio.Lock()  # one request to the delay line at a time

    async def start(self) -> None:
        """Make the switch ready to lose packets and to hold them up.

        Raises:
            ChildFailed: it cannot be.
        """
        command = self._hosts.switch.command(python("scripts.faults.delay_line"))
        self._line = await self._children.start("delay-line", command, talks=True)
        inside = self._hosts.switch.namespace
        # What comes back from there is somebody else's: the switch must not learn that they live
        # there, nor send anything there by itself.
        await _run("ip", "-n", inside, "link", "set", "dev", DEVICE, "master", BRIDGE, "up")
        port = ("type", "bridge_slave", "learning", "off", "flood", "off")
        none = ("mcast_flood", "off", "bcast_flood", "off")
        await _run("ip", "-n", inside, "link", "set", "dev", DEVICE, *port, *none)
        await self._nft(rules(list(self._hosts.places)))

    async def lose(self, pairs: Iterable[Pair]) -> None:
        """Lose every packet of these pairs until they are mended."""
        await self._nft(f"add element netdev {_TABLE} {_LOST} {self._elements(pairs)}")

    async def delay(self, pairs: Iterable[Pair], seconds: float) -> None:
        """Have every packet of these pairs arrive so much later until they are mended."""
        pairs = list(pairs)
        self._delays |= dict.fromkeys(pairs, seconds)
        await self._tell_line()
        await self._nft(f"add element netdev {_TABLE} {_LATE} {self._elements(pairs)}")

    async def mend(self, pairs: Iterable[Pair]) -> int:
        """Let these pairs be whole again; return how many packets were lost or late."""
        pairs = list(pairs)
        hit = 0
        commands = []
        for name, counted in counters(await self._nft_says("-j", "list", "sets")).items():
            broken = [pair for pair in pairs if self._key(pair) in counted]
            if broken:
                hit += sum(counted[self._key(pair)] for pair in broken)
                elements = self._elements(broken)
                commands.append(f"delete element netdev {_TABLE} {name} {elements}")
        if commands:
            await self._nft("\n".join(commands))
        if any(self._delays.pop(pair, 0.0) for pair in pairs):
            await self._tell_line()
        return hit

    async def _tell_line(self) -> None:
        """Tell the delays; packets that are on their way keep theirs."""
        async with self._asking:
            delays = [[*self._key(pair), seconds] for pair, seconds in self._delays.items()]
            await self._line.ask("set", delays=delays)

    def _key(self, pair: Pair) -> Pair:
        """Return the addresses of a pair."""
        return self._hosts.places[pair[0]].host, self._hosts.places[pair[1]].host

    def _elements(self, pairs: Iterable[Pair]) -> str:
        return f"{{ {', '.join(' . '.join(self._key(pair)) for pair in pairs)} }}"

    async def _nft(self, text: str) -> None:
        await self._nft_says("-f", "-", given=text)

    async def _nft_says(self, *arguments: str, given: str = "") -> bytes:
        command = self._hosts.switch.command([tool("nft") or "nft", *arguments])
        return await _run(*command, given=given)


def rules(names: Iterable[str]) -> str:
    """Return what `nft` is told at the beginning.

    Args:
        names: of the links, on the switch.
    """
    kind = "type ipv4_addr . ipv4_addr; counter;"
    chains = [
        f'chain {name} {{ type filter hook ingress device "{name}" priority 0; '
        f"ip saddr . ip daddr @{_LOST} drop; "
        f'ip saddr . ip daddr @{_LATE} fwd to "{DEVICE}"; }}'
        for name in names
    ]
    sets = [f"set {name} {{ {kind} }}" for name in (_LOST, _LATE)]
    return "\n".join([f"table netdev {_TABLE} {{", *sets, *chains, "}"])


def counters(said: bytes) -> dict[str, dict[Pair, int]]:
    """Return how many packets of each pair of addresses met which set, from `nft -j list sets`."""
    document: dict[str, list[dict[str, Any]]] = msgspec.json.decode(said)
    sets = [item["set"] for item in document["nftables"] if "set" in item]
    return {
        found["name"]: {
            tuple(element["elem"]["val"]["concat"]): element["elem"]["counter"]["packets"]
            for element in found.get("elem", [])
        }
        for found in sets
    }


async def _run(*command: str, given: str = "") -> bytes:
    """Run a tool; return what it prints.

    Raises:
        ChildFailed: it refuses.
    """
    pipe = asyncio.subprocess.PIPE
    source = pipe if given else asyncio.subprocess.DEVNULL  # a pipe may have ended before its use
    process = await asyncio.create_subprocess_exec(*command, stdin=source, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(_LIMIT_S):
        said, errors = await process.communicate(given.encode() or None)
    if process.returncode != 0:
        raise ChildFailed(f"{' '.join(command)}: {errors.decode().strip()}")
    return said
