"""Commands that send: `send`."""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
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
    run,
)
from node.cli.lines import Lines, standard_input
from node.cli.streaming import Results, send_lines, sentence
from node.cli.text import as_data, utf8
from router.aio import Router
from router.model import OUTCOMES, Confirm, SendResult, UserId, check_user

_STREAM: Final = "-"
_SHORTEST_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Order:
    """How messages are to be sent; see `Router.send`."""

    user: UserId
    confirm: Confirm | None
    timeout_s: float | None
    ttl_s: float | None
    origin: str
    durable: bool
    key: str | None

    async def send(self, router: Router, data: msgspec.Raw) -> SendResult:
        """Send one message; raises as `Router.send`."""
        return await router.send(
            self.user,
            data,
            confirm=self.confirm,
            timeout=self.timeout_s,
            ttl=self.ttl_s,
            origin=self.origin,
            durable=self.durable,
            key=self.key,
        )


def send(
    user: Annotated[str, typer.Argument(help="Whom it is for.")],
    data: Annotated[
        str,
        typer.Argument(
            help="JSON, or a plain string if it does not parse; - reads standard input, one "
            "message a line, empty lines left out."
        ),
    ] = "null",
    durable: Annotated[
        bool, typer.Option("--durable", help="Store it for a user who is away.")
    ] = False,
    confirm: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL",
            help="How far to wait: accepted, written, delivered or acked.  "
            "[delivered, if the mode can know]",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=_SHORTEST_S, metavar="SECONDS", help="How long to wait for that.  [5]"),
    ] = None,
    ttl: Annotated[
        float | None,
        typer.Option(min=_SHORTEST_S, metavar="SECONDS", help="After which it is worthless."),
    ] = None,
    origin: Annotated[
        str, typer.Option("--from", metavar="NAME", help="The user it is from.")
    ] = "",
    key: Annotated[
        str | None, typer.Option(help="Idempotency key; a repeat with it is not sent again.")
    ] = None,
    config: ConfigOption = None,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a message to a user and print what became of it.

    Exit status: 0 it arrived, or is on its way; 3 offline, dropped or expired; 4 unknown; 5 busy;
    1 and 2 for errors. With - it is the highest of all lines.
    """
    invocation = begin(config, redis, as_json)
    level = Confirm.parse(confirm) if confirm is not None else None
    order = Order(check_user(user), level, timeout, ttl, origin, durable, key)
    if data == _STREAM:
        status = run(_send_lines(invocation, order))
    else:
        status = run(_send_one(invocation, order, as_data(utf8(data, "DATA"))))
    raise typer.Exit(status)


async def _send_one(invocation: Invocation, order: Order, data: msgspec.Raw) -> int:
    async with open_router(invocation) as router:
        result = await order.send(router, data)
    if invocation.as_json:
        print_json(views.sent(result))
    else:
        print(sentence(result))
    return OUTCOMES[result.outcome].exit_status


async def _send_lines(invocation: Invocation, order: Order) -> int:
    async with open_router(invocation) as router:
        if router.level(order.confirm) > Confirm.ACCEPTED:
            await router.join()  # else the first sends would wait for it, and lose their order
        lines = Lines(standard_input, invocation.settings.node.max_message_bytes)
        with Results(invocation.as_json) as results:
            return await send_lines(lines, lambda data: order.send(router, data), results)


def add(app: typer.Typer) -> None:
    """Add these commands."""
    example = "Example: switchboard send alice '{\"order\":42}' --json"
    app.command("send", epilog=example)(send)
