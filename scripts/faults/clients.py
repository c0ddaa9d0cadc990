"""Program: all clients of a run, in one process; what they read goes into the ledger."""

import argparse
import asyncio
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from random import Random

import uvloop

from node.auth.issuing import Grant, issue
from router.settings import AuthSettings, load
from scripts.faults.device import Device
from scripts.faults.ledger import Pen
from scripts.faults.options import SDK
from scripts.faults.sdk_device import SdkDevice
from scripts.measuring.peer import Request, serve
from scripts.measuring.plan import user_name

FILE = "clients.jsonl"
_TWO_DEVICES = 0.2  # share of the users
_MANUAL = 0.25  # shares of the devices
_BY_CURSOR = 0.25
_HOME_S = 40.0
_TOKEN_S = 86_400.0  # longer than any run


class Clients:
    """The requests this program answers.

    Args:
        pen: the ledger.
        auth: how nodes know their users.
    """

    def __init__(self, pen: Pen, auth: AuthSettings) -> None:
        self._pen = pen
        self._auth = auth
        self._devices: list[Device | SdkDevice] = []
        self._lives: list[asyncio.Task[None]] = []
        self._doings: set[asyncio.Task[None]] = set()
        self._rng = Random()
        self._numbers = count(1)

    async def start(self, request: Request) -> Request:
        """Bring `users` to life on these `nodes`; return when each was connected once."""
        self._rng = Random(f"clients {request['seed']}")
        for user in range(request["users"]):
            names = ["web", "phone"] if self._rng.random() < _TWO_DEVICES else ["web"]
            self._devices += [self._device(request, user_name(user), name) for name in names]
        self._lives = [asyncio.create_task(device.live_on()) for device in self._devices]
        await self._all(request["limit_s"], lambda device: device.met)
        return {"devices": len(self._devices)}

    def _device(self, request: Request, user: str, name: str) -> Device | SdkDevice:
        rng, nodes = Random(self._rng.random()), request["nodes"]
        token, ping_s = self._token(user), request["ping_s"]
        if request["clients"] == SDK:
            return SdkDevice(
                user, name, nodes, numbers=self._number, pen=self._pen, ping_s=ping_s, token=token
            )
        ack = "manual" if rng.random() < _MANUAL else "auto"
        return Device(
            user,
            name,
            nodes,
            ack=ack if request["durable"] else "",
            resumes=rng.random() >= _BY_CURSOR,
            home_s=_HOME_S,
            rng=rng,
            numbers=self._number,
            pen=self._pen,
            linger_s=8 * ping_s,
            silence_s=request["silence_s"],
            token=token,
        )

    def _token(self, user: str) -> str:
        """Return what a user proves with who it is; "" where nodes believe everybody."""
        if self._auth.mode == "dev":
            return ""
        return issue(self._auth, Grant(user, _TOKEN_S)).token

    def _number(self) -> int:
        return next(self._numbers)

    async def do(self, request: Request) -> Request:
        """Have a share of the devices do something; in a storm those of one node."""
        chosen = [d for d in self._devices if self._rng.random() < request["share"]]
        how, seconds = request["how"], request["seconds"]
        if how == "storm":
            address = self._rng.choice(request["nodes"])
            chosen = [d for d in self._devices if d.live and d.address == address]
        for device in chosen:
            self._have(device, how, seconds)
        return {"devices": len(chosen)}

    def _have(self, device: Device | SdkDevice, how: str, seconds: float) -> None:
        if how == "leave":
            device.leave()
        elif how == "go":
            device.go()
        elif how in ("vanish", "storm"):
            device.vanish()
        else:
            doing = device.move() if how == "move" else device.deaf(seconds)
            task = asyncio.create_task(doing)
            self._doings.add(task)
            task.add_done_callback(self._doings.discard)

    async def calm(self, request: Request) -> Request:
        """Have everybody come back and stay."""
        for device in self._devices:
            device.calm()
        await self._all(request["limit_s"], lambda device: device.live)
        return {"devices": len(self._devices)}

    async def end(self, request: Request) -> Request:
        """Note nothing any more: the cluster is about to be stopped."""
        self._pen.end()
        return {}

    async def _all(self, limit_s: float, are_so: Callable[[Device | SdkDevice], bool]) -> None:
        async with asyncio.timeout(limit_s):
            while not all(are_so(device) for device in self._devices):
                _raise_first(self._lives)
                await asyncio.sleep(0.05)


def _raise_first(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()


async def main() -> None:
    """Serve the runner until it goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ledger", type=Path)
    given = parser.parse_args()
    async with Pen(given.ledger / FILE) as pen:
        clients = Clients(pen, load(None).auth)
        handlers = {
            "start": clients.start,
            "do": clients.do,
            "calm": clients.calm,
            "end": clients.end,
        }
        await serve(handlers, {"ready": True})


if __name__ == "__main__":
    uvloop.run(main())
