"""Breaks things: performs the steps of a plan on the running cluster, and mends what it broke."""

import asyncio
import math
import signal
from collections.abc import Awaitable, Callable

from scripts.faults.entries import Hurt
from scripts.faults.ground import Ground
from scripts.faults.ledger import Pen, now
from scripts.faults.looking import Looking
from scripts.faults.masters import Harm, Masters
from scripts.faults.parting import Parting
from scripts.faults.slots import Nodes, Slot
from scripts.faults.steps import CLIENTS, KILLED, SENDER, STORE, Step
from scripts.measuring.children import Child
from scripts.measuring.proxy import Fault, Proxy, Way

_FILL_S = 1.0  # a node is stopped for so long before it is killed, so that its inbox fills
_START_S = 40.0
_STOP_S = 40.0  # more than a drain may take, on a machine that has much to do
_RESCUE_S = 4.0  # times the lease: how long a rescue is waited for
_REPLY_S = 0.5
_KILLED_AFTER = 0.2  # of the time for which a node is cut off


class Hurting:
    """Performs steps.

    Args:
        nodes: the nodes.
        ground: the store, and the ways there.
        clients: the program of the clients.
        looking: reads the store.
        pen: the ledger.
        lease_s: TTL of a lease.
    """

    def __init__(
        self,
        nodes: Nodes,
        ground: Ground,
        clients: Child,
        looking: Looking,
        pen: Pen,
        lease_s: float,
    ) -> None:
        self._nodes = nodes
        self._store = ground.store
        self._proxies = ground.proxies
        self._clients = clients
        self._looking = looking
        self._pen = pen
        self._lease_s = lease_s
        self._busy: set[str] = set()
        self._asking = asyncio.Lock()  # one request to the clients at a time
        self.done: dict[str, int] = {}
        self.rescuer_killed_at = -math.inf
        self._kinds: dict[str, Callable[[Step], Awaitable[str | Harm]]] = {
            "kill": self._kill,
            "pause": self._pause,
            "redis-restart": self._restart,
            "redis-hang": self._hang,
            "cut": self._cut,
            "slow": self._slow,
            "drain": self._drain,
            "move": self._move,
            "power": self._power,
        }
        if ground.servers is not None:
            self._kinds |= Masters(ground.servers, looking, looking.keys, looking.users).kinds
        if ground.links is not None:
            self._parting = Parting(ground.links, (STORE, CLIENTS, SENDER, *nodes.slots))
            self._kinds |= {**self._parting.kinds, "part": self._part}

    async def perform(self, step: Step) -> None:
        """Break something and mend it; nothing happens where it is broken already.

        Raises:
            ChildFailed, ServerFailed, ServersFailed: what was broken cannot be mended.
        """
        if step.where in self._busy:
            return
        if step.fault != "move":
            self._busy.add(step.where)
        begun = now()
        try:
            found = await self._kinds[step.fault](step)
        finally:
            self._busy.discard(step.where)
        self.done[step.fault] = self.done.get(step.fault, 0) + 1
        harm = found if isinstance(found, Harm) else Harm(found)
        words = f"{step.how} {harm.detail}".strip()
        self._pen.note(
            Hurt(
                begun,
                step.fault,
                step.where,
                now(),
                words,
                step.side,
                harm.served,
                list(harm.nodes),
                harm.unsafe,
            )
        )

    # ---- nodes ------------------------------------------------------------------------------

    async def _kill(self, step: Step) -> str:
        slot = self._nodes.slots[step.where]
        if step.how == "kill-full" and slot.signal(signal.SIGSTOP):
            await asyncio.sleep(_FILL_S)
        dead = await self._kill_now(slot)
        if step.how == "kill-rescuer":
            again = asyncio.create_task(self._start_after(slot, step.lasts_s))
            try:
                return f"{dead}; {await self._kill_rescuer(dead, int(step.amount))}"
            finally:
                await again
        await self._start_after(slot, step.lasts_s)
        return " ".join(dead)

    async def _kill_now(self, slot: Slot) -> list[str]:
        """Kill a node; return the endpoints it was, after noting what waits in their inboxes."""
        if slot.signal(signal.SIGKILL, ends=True):
            await slot.gone.wait()
        return await self._looking.note_waiting(slot.name)

    async def _start_after(self, slot: Slot, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if slot.child is None:
            await slot.start_patiently(_START_S)

    async def _kill_rescuer(self, dead: list[str], nth: int) -> str:
        """Kill whoever rescues one of these endpoints, at its n-th command on what it left."""
        others = [slot for slot in self._nodes.slots.values() if slot.name not in self._busy]
        traps = {
            asyncio.create_task(
                self._proxies[slot.name].when(name.encode(), Fault.HANG, nth).wait()
            ): slot
            for slot in others
            for name in (f"{{{endpoint}}}:rescue" for endpoint in dead)
        }
        if not traps:
            return "nobody was there to rescue"
        sprung, _ = await asyncio.wait(
            traps, timeout=_RESCUE_S * self._lease_s, return_when=asyncio.FIRST_COMPLETED
        )
        for task, slot in traps.items():
            task.cancel()
            self._proxies[slot.name].forget_traps()
        rescuer = next((traps[task] for task in sprung), None)
        if rescuer is None:
            return "nobody came to rescue"
        proxy = self._proxies[rescuer.name]
        if rescuer.name in self._busy:
            proxy.reset_hung()
            return f"{rescuer.name} was hurt already"
        self._busy.add(rescuer.name)
        begun = now()
        try:
            await self._kill_now(rescuer)
            self.rescuer_killed_at = asyncio.get_running_loop().time()
            await self._start_after(rescuer, 0.5)
        finally:
            self._busy.discard(rescuer.name)
            proxy.reset_hung()
        self._pen.note(Hurt(begun, "kill", rescuer.name, now(), "it was rescuing"))
        return f"{rescuer.name} was killed at command {nth} of the rescue"

    async def _pause(self, step: Step) -> str:
        slot = self._nodes.slots[step.where]
        if not slot.signal(signal.SIGSTOP):
            return "it was not there"
        try:
            await asyncio.sleep(step.lasts_s)
        finally:
            slot.signal(signal.SIGCONT)
        return f"for {step.lasts_s:g} s"

    async def _drain(self, step: Step) -> str:
        slot = self._nodes.slots[step.where]
        if slot.child is not None and slot.signal(signal.SIGTERM, ends=True):
            await slot.child.ended(_STOP_S)
            await slot.gone.wait()
        await self._start_after(slot, step.lasts_s)
        return ""

    # ---- the store and the way to it --------------------------------------------------------

    async def _restart(self, step: Step) -> str:
        assert self._store is not None
        await self._store.restart(step.lasts_s, gently=step.how == "term")
        return f"away for {step.lasts_s:g} s"

    async def _power(self, step: Step) -> str:
        """Kill the store and every node together; start the store, then the nodes."""
        assert self._store is not None
        self._store.signal(signal.SIGKILL)
        slots = list(self._nodes.slots.values())
        there = [slot for slot in slots if slot.signal(signal.SIGKILL, ends=True)]
        await asyncio.gather(*(slot.gone.wait() for slot in there))
        await self._store.restart(step.lasts_s)
        await asyncio.gather(*(slot.start_patiently(_START_S) for slot in slots))
        return f"off for {step.lasts_s:g} s"

    async def _hang(self, step: Step) -> str:
        assert self._store is not None
        self._store.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(step.lasts_s)
        finally:
            self._store.signal(signal.SIGCONT)
        return f"for {step.lasts_s:g} s"

    async def _cut(self, step: Step) -> str:
        proxy = self._proxies[step.where]
        try:
            await self._cut_now(proxy, step)
        finally:
            proxy.heal()
            proxy.forget_traps()
            proxy.reset_hung()
            await proxy.accept()
        return f"{step.amount:g}, for {step.lasts_s:g} s"

    async def _cut_now(self, proxy: Proxy, step: Step) -> None:
        amount = int(step.amount)
        if step.how == "reset":
            proxy.reset_all()
        elif step.how == "bytes":
            proxy.cut_after(amount, Way.TO_STORE if amount % 2 else Way.TO_CLIENT)
        elif step.how == "reply":
            for text in (b"EVALSHA", b"BLMOVE"):
                proxy.when(text, Fault.LOSE_REPLY, amount)
        elif step.how == "refuse":
            await proxy.refuse()
        else:
            ways = {"hole-in": (Way.TO_CLIENT,), "hole-out": (Way.TO_STORE,)}
            proxy.hold(*ways.get(step.how, tuple(Way)))
        await asyncio.sleep(step.lasts_s)

    async def _part(self, step: Step) -> str:
        """Cut a node off; perhaps kill it meanwhile, and start it when its links are whole."""
        if step.how != KILLED:
            return await self._parting.lose(step)
        slot = self._nodes.slots[step.where]
        losing = asyncio.create_task(self._parting.lose(step))
        try:
            await asyncio.sleep(step.lasts_s * _KILLED_AFTER)
            dead = await self._kill_now(slot)
        finally:
            lost = await losing
        await self._start_after(slot, 0)
        return f"{lost}; {' '.join(dead)}"

    async def _slow(self, step: Step) -> str:
        proxy = self._proxies[step.where]
        proxy.delay_s = step.amount / 1000
        try:
            await self._ask("deaf", step.lasts_s, 0.1)
            await asyncio.sleep(step.lasts_s)
        finally:
            proxy.heal()
        return f"{step.amount:g} ms each way, and a tenth of the clients read nothing"

    # ---- clients ----------------------------------------------------------------------------

    async def _move(self, step: Step) -> str:
        devices = await self._ask(step.how, step.lasts_s, step.amount)
        return f"{devices} devices"

    async def _ask(self, how: str, seconds: float, share: float) -> int:
        async with self._asking:
            answer = await self._clients.ask(
                "do", how=how, seconds=seconds, share=share, nodes=list(self._nodes.addresses)
            )
        return int(answer["devices"])
