"""Clients that come through a balancer, and nodes of this process behind it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from router.settings import Settings
from router.store.embedded import EmbeddedServer
from tests.deploy.crowd import AUTH, LIMITS, NODE
from tests.support.balancers import HOST, NODES, Balancer, Kind
from tests.support.clients import Client
from tests.support.cluster import Cluster
from tests.support.tokens import token
from tests.support.valkey import free_port

PING_S: Final = Settings().node.ping_interval_s


def cluster_of(store: EmbeddedServer, nodes: int, **limits: Any) -> Cluster:
    """Return nodes of this process as they stand behind a balancer, with these `[limits]`."""
    return Cluster(store.address.url, nodes, auth=AUTH, node=NODE, limits={**LIMITS, **limits})


async def join(
    balancer: Balancer,
    user: str,
    *,
    query: str = "",
    bearer: str | None = None,
    headers: Mapping[str, str] | None = None,
    **options: Any,
) -> Client:
    """Connect somebody; return when they are welcomed.

    Args:
        balancer: where.
        user: who, with a token of theirs.
        query: of the address; with one no token is sent beside it.
        bearer: the token that is sent; "" for none, None for one of the user.
        headers: beside that.
        options: of the library.
    """
    if bearer is None:
        bearer = "" if query else token(user)
    connection = await connect(
        f"{balancer.url}{query}",
        ssl=balancer.authority.client_context(),
        additional_headers={
            **({"Authorization": f"Bearer {bearer}"} if bearer else {}),
            **(headers or {}),
        },
        proxy=None,
        compression=None,
        ping_interval=None,
        max_queue=None,
        **options,
    )
    client = Client(connection)
    client.greeting = await client.expect("welcome")
    return client


async def refusal(balancer: Balancer, **options: Any) -> tuple[int, str | None]:
    """Return the status with which a handshake is refused, and when to come back."""
    with pytest.raises(InvalidStatus) as refused:
        await join(balancer, "nobody", **options)
    response = refused.value.response
    return response.status_code, response.headers.get("Retry-After")


async def ask(balancer: Balancer, path: str, **options: Any) -> tuple[int, bytes]:
    """Make one request over HTTP; return the status and the body of the answer."""

    def asked() -> tuple[int, bytes]:
        request = Request(f"https://{balancer.address}{path}", **options)
        try:
            context = balancer.authority.client_context()
            with urlopen(request, timeout=10, context=context) as answer:
                return answer.status, answer.read()
        except HTTPError as exc:
            with exc:
                return exc.code, exc.read()

    return await asyncio.to_thread(asked)


@contextlib.contextmanager
def hung_node() -> Iterator[str]:
    """What a stopped process looks like: the system takes its connections, and nobody answers."""
    with socket.create_server((HOST, 0)) as listener:
        yield f"{HOST}:{listener.getsockname()[1]}"


@contextlib.contextmanager
def vanished_node() -> Iterator[str]:
    """What a machine that is gone looks like: nothing answers, not even the system."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((HOST, 0), backlog=0))
        for _ in range(4):  # more than wait there; Linux answers no further one
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"{HOST}:{listener.getsockname()[1]}"


class Behind:
    """Tests with nodes of this process behind a balancer; a class below says which one."""

    kind: ClassVar[Kind]

    @pytest.fixture
    async def cluster(self, store: EmbeddedServer) -> AsyncIterator[Cluster]:
        """As many nodes as the files have."""
        async with cluster_of(store, NODES) as cluster:
            yield cluster

    @pytest.fixture
    async def balancer(self, cluster: Cluster, tmp_path: Path) -> AsyncIterator[Balancer]:
        """The balancer in front of them."""
        async with self.before(cluster, tmp_path) as balancer:
            yield balancer

    def before(self, cluster: Cluster, folder: Path, *more: str) -> Balancer:
        """Return a balancer before a cluster and more; where they are too few, for nobody."""
        addresses = [*(node.address for node in cluster.nodes), *more]
        addresses += [f"{HOST}:{free_port()}" for _ in range(NODES - len(addresses))]
        return Balancer(self.kind, folder / "balancer", addresses)
