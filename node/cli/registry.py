"""Commands that ask who is where, and send away: `users`, `user`, `nodes`, `kick`, `drain`."""

import shlex
import sys
from typing import Annotated

import typer

from node import views
from node.cli.common import (
    ConfigOption,
    Invocation,
    JsonOption,
    RedisOption,
    begin,
    open_router,
    print_json,
    print_table,
    run,
    say,
)
from node.cli.logs import visible
from node.cli.text import count, utf8, when
from router.directory import MAX_PAGE
from router.errors import InvalidRequest
from router.model import check_user, endpoint_name


def users(
    node: Annotated[
        str, typer.Option(metavar="NAME", help="Only those with a session on this node.")
    ] = "",
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="Only ids that begin with this.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE, help="Most users to show.")] = 50,
    cursor: Annotated[
        str, typer.Option(help="Go on where an earlier call ended; it printed the cursor.")
    ] = "",
    config: ConfigOption = None,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the online users, in the order of their ids."""
    invocation = begin(config, redis, as_json)
    utf8(prefix, "--prefix")
    utf8(cursor, "--cursor")
    page = run(_page(invocation, node, prefix, limit, cursor))
    if as_json:
        print_json(page)
        return
    rows = [(row.user, row.sessions, ", ".join(row.nodes), when(row.since)) for row in page.users]
    print_table(("user", ">sessions", "nodes", "since"), rows)
    if page.cursor is not None:
        say(f"There are more: --cursor {shlex.quote(page.cursor)}")


async def _page(
    invocation: Invocation, node: str, prefix: str, limit: int, cursor: str
) -> views.OnlinePage:
    async with open_router(invocation) as router:
        found, after = await router.page(
            node=node or None, prefix=prefix, limit=limit, cursor=cursor
        )
    return views.online_page(found, after)


def user(
    user: Annotated[str, typer.Argument(help="Whom to show.")],
    config: ConfigOption = None,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one user: each session, the mailbox, when they were last seen."""
    invocation = begin(config, redis, as_json)
    check_user(user)
    status = run(_user(invocation, user))
    if as_json:
        print_json(status)
    elif status.online:
        print(f"{status.user} is online, {count(status.mailbox, 'message')} in the mailbox")
        columns = ("session", "node", "endpoint", "device", "address", "since")
        rows = [
            (s.session, s.node, s.endpoint, s.device, s.address, when(s.since))
            for s in status.sessions
        ]
        print_table(columns, rows)
    else:
        seen = when(status.last_seen)
        mail = count(status.mailbox, "message")
        print(f"{status.user} is offline, last seen: {seen}, {mail} in the mailbox")


async def _user(invocation: Invocation, user: str) -> views.User:
    async with open_router(invocation) as router:
        return views.user(await router.user(user))


def nodes(
    config: ConfigOption = None, redis: RedisOption = None, as_json: JsonOption = False
) -> None:
    """List the nodes and how they are."""
    invocation = begin(config, redis, as_json)
    found = run(_nodes(invocation))
    if as_json:
        print_json(found)
        return
    columns = (
        *("name", "endpoint", ">pid", "address", "state", ">sessions", ">inbox", ">heartbeat"),
        *(">received", ">per s", ">delivered", ">per s"),
    )
    print_table(columns, [_node_cells(node) for node in found.nodes])


def _node_cells(node: views.NodeRow) -> tuple[object, ...]:
    age = "" if node.heartbeat_age_s is None else f"{node.heartbeat_age_s:.1f} s ago"
    return (
        *(node.name, node.endpoint, node.pid or "", node.address, node.state),
        *(f"{node.sessions:,}", f"{node.inbox:,}", age),
        *(f"{node.received:,}", f"{node.received_per_second:,.1f}"),
        *(f"{node.delivered:,}", f"{node.delivered_per_second:,.1f}"),
    )


async def _nodes(invocation: Invocation) -> views.Nodes:
    async with open_router(invocation) as router:
        return views.nodes(await router.nodes())


def kick(
    user: Annotated[str, typer.Argument(help="Whose sessions to close.")],
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this one; all of them without.")
    ] = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Told to the client, at most 100 characters.")
    ] = "",
    config: ConfigOption = None,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close a user's sessions, wherever they are."""
    invocation = begin(config, redis, as_json)
    check_user(user)
    utf8(reason, "--reason")
    closed = run(_kick(invocation, user, session, reason))
    if as_json:
        print_json(views.Closed(closed))
    else:
        print(f"closed {count(closed, 'session')} of {user}")


async def _kick(invocation: Invocation, user: str, session: str | None, reason: str) -> int:
    async with open_router(invocation) as router:
        return await router.kick(user, session=session, reason=reason)


def drain(
    node: Annotated[str, typer.Argument(help="Its name; its endpoint where two have the same.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    config: ConfigOption = None,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell a node to leave the cluster: its sessions go to the others, and its process ends."""
    invocation = begin(config, redis, as_json)
    utf8(node, "NODE")
    if not (yes or sys.stdin.isatty()):
        raise InvalidRequest("--yes", "is needed where nobody can be asked")
    # Asked on standard error: standard output is for the answer.
    if not yes and not typer.confirm(f"Drain node {visible(node)}?", err=True):
        say("nothing was done")
        raise typer.Exit(1)
    told = run(_drain(invocation, node))
    if as_json:
        print_json(told)
    else:
        print(f"{told.node} ({told.endpoint}) is leaving; 'switchboard nodes' shows how far it is")


async def _drain(invocation: Invocation, node: str) -> views.Drained:
    async with open_router(invocation) as router:
        endpoint = await router.drain(node)
        return views.Drained(endpoint_name(endpoint), endpoint)


def add(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("users", epilog="Example: switchboard users --node n1 --limit 10")(users)
    app.command("user", epilog="Example: switchboard user alice --json")(user)
    app.command("nodes", epilog="Example: switchboard nodes")(nodes)
    app.command("kick", epilog='Example: switchboard kick alice --reason "see you"')(kick)
    app.command("drain", epilog="Example: switchboard drain n1 --yes")(drain)
