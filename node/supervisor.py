"""`switchboard up`: node processes and the store under them: started, watched, renewed, stopped.

`respawn` decides, this acts. Nothing it started outlives it, even if it is killed: nodes are told
their parent (`--parent`) and end with it, and so does the store server.
"""

import asyncio
import random
import signal
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from node.certificates import peer_context
from node.peers import readiness
from node.respawn import ALL_LEAVE, NodePlan, backoff_s, failures_after, how_it_ended
from node.terminal import on_hangup
from router.errors import ServerFailed
from router.settings import TlsSettings
from router.store.embedded import EmbeddedServer

READY_S: Final = 30.0
KILL_AFTER_S: Final = 3.0  # beyond the node's own deadline
MAX_STORE_FAILURES: Final = 5
_LOOK_EVERY_S: Final = 0.1
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
RESTART_SIGNAL: Final = signal.SIGUSR2
_STDERR: Final = 2


def node_command(plan: NodePlan, config: Path | None, parent: int) -> list[str]:
    """Return the arguments of a node process; the store's address goes by its environment.

    Args:
        plan: which node.
        config: the config file, None for the usual one.
        parent: process id of the supervisor.
    """
    command = [sys.executable, "-m", "node.cli", "serve"]
    command += ["--name", plan.name, "--host", plan.host, "--port", str(plan.port)]
    command += ["--parent", str(parent)]
    if plan.api_port:
        command += ["--api-port", str(plan.api_port)]
    return command if config is None else [*command, "--config", str(config)]


class Supervisor:
    """Keeps nodes and store alive until it is told to stop.

    Args:
        plans: the nodes.
        command: makes a node's arguments.
        environment: of the node processes; has the store's address, with its password.
        store: our private server, already started; None when the store is somebody else's.
        drain_s: how long a node may take to leave, seconds.
        say: takes one line for the user.
        ready: called once with the process ids, in the order of `plans`, when all nodes serve.
        tls: of the nodes; None for none.
    """

    def __init__(
        self,
        plans: Sequence[NodePlan],
        command: Callable[[NodePlan], list[str]],
        environment: Mapping[str, str],
        store: EmbeddedServer | None,
        drain_s: float,
        say: Callable[[str], None],
        ready: Callable[[list[int]], None],
        tls: TlsSettings | None = None,
    ) -> None:
        self._tls = tls or TlsSettings()
        self._plans = plans
        self._command = command
        self._environment = environment
        self._store = store
        self._drain_s = drain_s
        self._say = say
        self._ready = ready
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._told: set[int] = set()  # a second signal would end a node in the middle of its drain
        self._restart = asyncio.Event()
        self._all_ready = False
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._failure: ServerFailed | None = None

    async def run(self) -> None:
        """Run until SIGINT, SIGTERM or the end of the terminal; another one ends all at once.

        SIGUSR2 restarts the nodes one by one, SIGHUP has them read their settings again. Whatever
        happens, no node is left running.

        Raises:
            ServerFailed: a node could not be started the first time, or the store not again.
        """
        loop = asyncio.get_running_loop()
        handlers = {
            **dict.fromkeys(_STOP_SIGNALS, self.stop),
            RESTART_SIGNAL: self.restart,
            signal.SIGHUP: on_hangup(self.stop, self.reload),
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._keep_node(plan)) for plan in self._plans]
                tasks.append(group.create_task(self._announce()))
                tasks.append(group.create_task(self._restart_when_told()))
                if self._store is not None:
                    tasks.append(group.create_task(self._keep_store(self._store)))
                await self._stop.wait()
                await self._stop_nodes()
                for task in tasks:
                    task.cancel()
        finally:
            self._signal_nodes(signal.SIGKILL)
            for number in handlers:
                loop.remove_signal_handler(number)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Begin to stop; called again, stop at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def restart(self) -> None:
        """Begin to restart the nodes, unless that is under way."""
        self._restart.set()

    def reload(self) -> None:
        """Have the nodes read their settings again."""
        self._signal_nodes(signal.SIGHUP)
        self._say("the nodes read their settings again")

    def _give_up(self, failure: ServerFailed) -> None:
        self._failure = self._failure or failure
        self._stop.set()

    async def _keep_node(self, plan: NodePlan) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._stop.is_set():
            began = loop.time()
            ended = await self._run_node(plan)
            if self._stop.is_set():
                return
            process = self._processes.get(plan.name)
            if process is not None and process.pid in self._told:  # as planned
                failures = 0
                continue
            if not self._all_ready:
                self._give_up(ServerFailed(f"node {plan.name} {ended} before it was ready"))
                return
            failures = failures_after(failures, loop.time() - began)
            delay_s = backoff_s(failures, random.random())
            self._say(f"node {plan.name} {ended}; it starts again in {delay_s:.1f} s")
            await asyncio.sleep(delay_s)

    async def _run_node(self, plan: NodePlan) -> str:
        """Run one node process to its end; return in words how that came."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(plan),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=_STDERR,  # our standard output is for what the user asked
                start_new_session=True,  # Ctrl-C in a terminal is for us alone: we stop in order
            )
        except OSError as exc:
            return f"could not be started ({exc.strerror})"
        self._processes[plan.name] = process
        if self._stop.is_set():  # the signals went out while it was being born
            self._tell(process, ALL_LEAVE)
        return how_it_ended(await process.wait())

    async def _announce(self) -> None:
        """Wait until every node serves, then say so once."""
        try:
            async with asyncio.timeout(READY_S):
                for plan in self._plans:
                    while not await is_ready(plan.url, peer_context(self._tls)):
                        await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            late = f"node {plan.name} was not ready within {READY_S:g} s"
            self._give_up(ServerFailed(f"{late}; {plan.url}readyz says why"))
            return
        self._all_ready = True
        self._ready([self._processes[plan.name].pid for plan in self._plans])

    async def _restart_when_told(self) -> None:
        """Restart the nodes one by one; if one does not come back, leave the others alone."""
        while True:
            await self._restart.wait()
            for plan in self._plans:
                if not await self._restart_node(plan):
                    self._say(f"node {plan.name} did not come back; the others were not restarted")
                    break
            else:
                self._say("every node was restarted")
            self._restart.clear()

    async def _restart_node(self, plan: NodePlan) -> bool:
        """Drain one node, and wait until its next process is ready; return whether it is."""
        self._say(f"restarting node {plan.name}")
        process = self._processes[plan.name]
        self._tell(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(self._drain_s + KILL_AFTER_S):
                await process.wait()
        except TimeoutError:
            self._say(f"node {plan.name} did not stop in time and is killed")
            process.kill()
        try:
            async with asyncio.timeout(READY_S):
                while self._processes[plan.name] is process or not await is_ready(
                    plan.url, peer_context(self._tls)
                ):
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            return False
        return True

    async def _keep_store(self, store: EmbeddedServer) -> None:
        loop = asyncio.get_running_loop()
        failures, began = 0, loop.time()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if store.alive:
                continue
            failures = failures_after(failures, loop.time() - began)
            if failures > MAX_STORE_FAILURES:
                self._give_up(ServerFailed("the store server keeps ending; see its log"))
                return
            delay_s = backoff_s(failures, random.random())
            self._say(f"the store server has ended; it starts again in {delay_s:.1f} s")
            await asyncio.sleep(delay_s)
            began = loop.time()
            try:
                store.launch()
                while not store.ready():
                    await asyncio.sleep(_LOOK_EVERY_S)
            except ServerFailed as exc:
                self._give_up(exc)
                return
            self._say("the store server is back")

    async def _stop_nodes(self) -> None:
        """Stop in order: ask, wait, kill, wait. All at once: then no node waits for another."""
        for process in self._processes.values():
            self._tell(process, ALL_LEAVE)
        ends = [asyncio.ensure_future(p.wait()) for p in self._processes.values()]
        hurry = asyncio.ensure_future(self._hurry.wait())
        try:
            async with asyncio.timeout(self._drain_s + KILL_AFTER_S):
                pending = {hurry, *ends}
                while any(not end.done() for end in ends) and not hurry.done():
                    await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    pending = {hurry, *(end for end in ends if not end.done())}
        except TimeoutError:
            self._say("a node did not stop in time and is killed")
        finally:
            hurry.cancel()
        self._signal_nodes(signal.SIGKILL)
        await asyncio.gather(*ends)
        if self._hurry.is_set() and self._store is not None:
            self._store.kill()

    def _tell(self, process: asyncio.subprocess.Process, number: signal.Signals) -> None:
        """Ask a node to leave, once."""
        if process.returncode is None and process.pid not in self._told:
            self._told.add(process.pid)
            process.send_signal(number)

    def _signal_nodes(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(number)


async def is_ready(url: str, trust: ssl.SSLContext | None = None) -> bool:
    """Say whether the node at `url` would take sessions now; see `readiness`."""
    return await readiness(url, trust) is True
