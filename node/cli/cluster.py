"""Commands that run things: `up`, `serve`, `redis-url`."""

import asyncio
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from node.auth import choose
from node.certificates import server_context
from node.cli import logs
from node.cli.common import (
    ConfigOption,
    Invocation,
    JsonOption,
    RedisOption,
    begin,
    print_json,
    run,
    say,
)
from node.listening import check_ports
from node.notify import Notify
from node.peers import url_of
from node.respawn import NodePlan, plan_nodes
from node.serve import serve as serve_node
from node.supervisor import Supervisor, node_command
from router.errors import ServerFailed
from router.orphans import die_with_parent
from router.settings import EMBEDDED, Settings
from router.store.address import embedded_folder, resolve
from router.store.embedded import EmbeddedServer, find
from router.urls import printable_address

_MAX_NODES: Final = 64
_RETRY_S: Final = 0.2


def up(
    nodes: Annotated[int, typer.Option(min=1, max=_MAX_NODES, help="How many nodes.")] = 2,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="Port of the first; the others follow.  [8001]"),
    ] = None,
    config: ConfigOption = None,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a store and some nodes here, until Ctrl-C.

    The store is a private one under redis.data_dir, unless the settings name another. A node that
    dies is started again. SIGUSR2 restarts the nodes one by one, SIGHUP has them read their
    settings again.
    """
    invocation = begin(config, redis, as_json, {"node": {"port": port}}, quiet=False)
    settings = invocation.settings
    secure = bool(settings.tls.certificate_file)
    if secure:
        server_context(settings.tls)  # what is wrong with it is told once, and not by every node
    choose(settings.auth, api=settings.api)  # likewise, of secrets and keys
    plans = plan_nodes(
        nodes, settings.node.host, settings.node.port, settings.api.port, secure=secure
    )
    check_ports(plans)
    with ExitStack() as stack:
        store = None
        url = settings.redis.url
        if url == EMBEDDED:
            folder = embedded_folder(settings)
            store = stack.enter_context(EmbeddedServer(folder, settings.redis.append_fsync))
            url = store.address.url
        supervisor = Supervisor(
            plans,
            command=lambda plan: node_command(plan, config, os.getpid()),
            environment={**os.environ, "SWITCHBOARD_REDIS__URL": url},
            store=store,
            drain_s=settings.node.drain_s,
            say=say,
            ready=lambda pids: _show_ready(invocation, plans, pids, store),
            tls=settings.tls,
        )
        asyncio.run(supervisor.run())


def _show_ready(
    invocation: Invocation, plans: list[NodePlan], pids: list[int], store: EmbeddedServer | None
) -> None:
    where = _describe_store(invocation, store)
    if invocation.as_json:
        rows = [
            {"name": plan.name, "url": plan.url, "pid": pid, **_api_of(invocation, plan)}
            for plan, pid in zip(plans, pids, strict=True)
        ]
        print_json({"nodes": rows, "store": where, "pid": os.getpid()})
        return
    for plan, pid in zip(plans, pids, strict=True):
        apart = "".join(f", API at {url}" for url in _api_of(invocation, plan).values())
        print(f"node {plan.name:<4} {plan.url}  (process {pid}{apart})")
    print(f"store     {where['address']}  (`switchboard redis-url` prints it with its password)")
    print(f"Ready (process {os.getpid()}). Ctrl-C stops everything.", flush=True)


def _api_of(invocation: Invocation, plan: NodePlan) -> dict[str, str]:
    """Return where a node's API is, if that has a port of its own."""
    if not plan.api_port:
        return {}
    return {"api": url_of(f"{invocation.settings.api.host}:{plan.api_port}", secure=plan.secure)}


def _describe_store(invocation: Invocation, store: EmbeddedServer | None) -> dict[str, Any]:
    if store is None:
        return {"address": printable_address(invocation.settings.redis.url)}
    address = store.address
    return {
        "address": f"127.0.0.1:{address.port}",
        "socket": address.socket,
        "data_dir": str(store.data_dir),
        "pid": address.pid,
    }


def serve(
    name: Annotated[str | None, typer.Option(help="What it is called.  \\[n1]")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="0 for any free one.  [8001]")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Where it listens.  [127.0.0.1]")] = None,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the store.")
    ] = 0.0,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
    api_port: Annotated[int | None, typer.Option(hidden=True)] = None,
    config: ConfigOption = None,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run one node, against the store of the settings, until SIGTERM or Ctrl-C.

    SIGHUP has it read its settings again.
    """
    if parent is not None:
        die_with_parent(parent)
    node = {"name": name, "port": port, "host": host}
    api = {"port": api_port}
    invocation = begin(config, redis, as_json, {"node": node, "api": api}, quiet=False)
    give_up_at = time.monotonic() + wait
    url = _wait_for_address(invocation, give_up_at)
    left_s = max(0.0, give_up_at - time.monotonic())
    notify = Notify(os.environ.get("NOTIFY_SOCKET", ""))
    work = serve_node(
        invocation.settings, url, left_s, invocation.read, _log_as_told, notify=notify
    )
    raise typer.Exit(run(work))


def _log_as_told(settings: Settings) -> None:
    logs.configure(settings.log, quiet=False)


def _wait_for_address(invocation: Invocation, give_up_at: float) -> str:
    """Return the store's address, waiting for an embedded one to be started if there is time."""
    while True:
        try:
            return resolve(invocation.settings)
        except ServerFailed:
            if time.monotonic() >= give_up_at:
                raise
        time.sleep(_RETRY_S)


def redis_url(
    config: ConfigOption = None, redis: RedisOption = None, as_json: JsonOption = False
) -> None:
    """Print the address of the store in use, password included, for redis-cli and other tools."""
    invocation = begin(config, redis, as_json)
    url = resolve(invocation.settings)
    if invocation.settings.redis.url == EMBEDDED:
        found = find(Path(invocation.settings.redis.data_dir))
        url = url if found is None else found.tcp_url
    if as_json:
        print_json({"url": url})
    else:
        print(url)


def add(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("up", epilog="Example: switchboard up --nodes 3 --port 8001")(up)
    app.command("serve", epilog="Example: switchboard serve --name n3 --port 8003")(serve)
    app.command("redis-url", epilog='Example: redis-cli -u "$(switchboard redis-url)" ping')(
        redis_url
    )
