"""What hashing clients by IP address does for messages between users: nothing.

Real nodes that do not know each other: each has a registry prefix of its own. A load balancer
places every user by nginx's `ip_hash`; a sender asks the node that holds it to deliver.
"""

import asyncio
from random import Random

from scripts.comparison import document
from scripts.comparison.cluster import Clusters
from scripts.comparison.options import Options
from scripts.measuring.children import Child, ChildFailed
from scripts.measuring.cluster import free_ports, start_clients, start_node
from scripts.measuring.http import post
from scripts.measuring.peer import STORE_URL
from scripts.measuring.plan import Plan, user_name
from scripts.measuring.run import Progress

PREFIX = "SWITCHBOARD_REGISTRY__PREFIX"
_SEED = 60_000
_AT_ONCE = 16
_MESSAGES = 1000
_QUICK_MESSAGES = 200
_LAST_SECONDS = 0.5


def ip_hash(address: str, nodes: int) -> int:
    """Return the node of an IPv4 client as nginx's `ip_hash` chooses among equal nodes.

    Its first three octets count, so that a whole /24 goes to one node.
    """
    key = 89
    for octet in address.split(".")[:3]:
        key = (key * 113 + int(octet)) % 6271
    return key % nodes


def addresses(users: int, seed: int) -> list[str]:
    """Return a public-looking IPv4 address for each user."""
    random = Random(seed)
    return [".".join(str(random.randint(1, 223)) for _ in range(4)) for _ in range(users)]


class Sticky:
    """Shows it for each number of nodes.

    Args:
        options: how many nodes and users.
        clusters: owns what is started.
        progress: told of each step.
    """

    def __init__(self, options: Options, clusters: Clusters, progress: Progress) -> None:
        self.found: list[document.Sticky] = []
        self._options = options
        self._clusters = clusters
        self._progress = progress

    async def run(self) -> None:
        """Send; `found` holds what is done. Raises ChildFailed."""
        for nodes in self._options.nodes:
            self._progress(f"hashing by IP address over {nodes} nodes", 0)
            self.found.append(await self._with(nodes))
            self._progress(f"hashing by IP address over {nodes} nodes", 1)

    async def _with(self, nodes: int) -> document.Sticky:
        users, children = self._options.users, self._clusters.children
        store = self._clusters.stores.start(f"store-sticky-{nodes}")
        ports = free_ports(nodes)
        running: list[Child] = []
        for number, port in enumerate(ports, 1):
            env = {STORE_URL: store.url, PREFIX: f"alone{number}"}
            label = f"sticky-{nodes}-node{number}"
            running.append(await start_node(children, label, f"n{number}", port, env))
        clients = await start_clients(children, f"sticky-{nodes}-clients")
        home = [ports[ip_hash(address, nodes)] for address in addresses(users, _SEED)]
        await clients.ask("connect", ports=home, progress="")
        messages = _QUICK_MESSAGES if self._options.quick else _MESSAGES
        plan = Plan(nodes, _SEED, users, messages, self._options.size_bytes)
        await clients.ask("expect", plan=plan.dump())
        delivered = await _send_all(plan, home)
        await clients.ask("wait", _LAST_SECONDS)
        received = await clients.ask("collect")
        await children.stop([clients, *running])
        self._clusters.stores.stop(store)
        if messages - received["missing"] != delivered:
            raise ChildFailed(f"{delivered} told 'delivered', {received['missing']} missing")
        return document.Sticky(
            nodes=nodes,
            users=users,
            messages=messages,
            delivered=delivered,
            undelivered_share=received["missing"] / messages,
            expected_share=(nodes - 1) / nodes,
            misdelivered=received["misdelivered"] + received["doubled"],
        )


async def _send_all(plan: Plan, home: list[int]) -> int:
    """Send each message from a random user's node; return how many were told `delivered`."""
    senders = Random(plan.seed + 1).choices(range(plan.users), k=plan.messages)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(n: int, user: int) -> bool:
        body = {"data": plan.data(n, user), "from": user_name(senders[n]), "confirm": "delivered"}
        async with gate:
            _, answer = await post(
                home[senders[n]], f"/api/v1/users/{user_name(user)}/messages", body
            )
        return bool(answer.get("outcome") == "delivered")

    sends = (one(n, user) for n, user in enumerate(plan.recipients()))
    return sum(await asyncio.gather(*sends))
