"""The driver `python`: `router.client`, told what to do by JSON lines; see `drivers`."""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any, Final

import structlog

from router.client import (
    Client,
    Closed,
    Connecting,
    Message,
    Open,
    Options,
    State,
    SwitchboardError,
    Waiting,
)

_OPTIONS: Final = ("retry_base_s", "retry_cap_s", "ping_interval_s", "max_sends", "max_messages")
_LINE_BYTES: Final = 1 << 22
Command = dict[str, Any]


def _emit(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def _say_state(state: State) -> None:
    match state:
        case Connecting(url):
            _emit("state", state="connecting", url=url)
        case Open(session, node, resumed, offset):
            _emit("state", state="open", session=session, node=node, resumed=resumed, offset=offset)
        case Waiting(after_s, reason):
            _emit("state", state="waiting", after_ms=round(after_s * 1_000), reason=reason)
        case Closed(code, reason):
            _emit("state", state="closed", code=code, reason=reason)


class _Application:
    """What a program does with the client."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._manual = False
        self._in_hand: dict[str, Message] = {}
        self._handler_s = 0.0

    async def obey(self, command: Command) -> Any:
        """Do what a command says; return the result."""
        match command["do"]:
            case "connect":
                return self._connect(command)
            case "ack_mode":
                self._manual = command["manual"]
            case "send":
                return await self._send(command)
            case "ack":
                assert self._client is not None
                self._client.ack(self._in_hand.pop(command["id"]))
            case "close":
                await self.close()
        return None

    def _connect(self, command: Command) -> None:
        given = command.get("options", {})
        self._handler_s = given.get("handler_s", 0.0)
        tokens = given.get("tokens")
        self._client = Client(
            command["urls"],
            user=command["user"],
            device=command["device"],
            since=given.get("since", ""),
            token=None if tokens is None else _Tokens(iter(tokens)),
            on_message=self._on_message,
            on_state=_say_state,
            on_gap=lambda: _emit("gap"),
            auto_ack=not self._manual,
            options=Options(**{name: given[name] for name in _OPTIONS if name in given}),
        )
        self._client.start()

    async def _on_message(self, message: Message) -> None:
        extra = {"offset": message.offset} if message.offset else {}
        replay = {"replay": True} if message.replay else {}
        common = {"id": message.id, "from": message.origin, "data": message.data}
        _emit("message", **common, **extra, **replay)
        if self._manual:
            self._in_hand[message.id] = message
        if self._handler_s:
            await asyncio.sleep(self._handler_s)

    async def _send(self, command: Command) -> Any:
        assert self._client is not None
        renamed = {"durable": "durable", "confirm": "confirm", "ttl_s": "ttl", "key": "key"}
        given = {ours: command[name] for name, ours in renamed.items() if name in command}
        given["timeout"] = command.get("timeout_s", 10.0)
        result = await self._client.send(command["to"], command["data"], **given)
        return {
            "id": result.id,
            "user": result.user,
            "outcome": result.outcome.value,
            "reason": result.reason,
        }

    async def close(self) -> None:
        """Close the client, if there is one."""
        if self._client is not None:
            await self._client.close()


class _Tokens:
    def __init__(self, tokens: Iterator[str]) -> None:
        self._tokens = tokens
        self._last = ""

    async def __call__(self) -> str:
        self._last = next(self._tokens, self._last)
        return self._last


async def _answer(application: _Application, command: Command) -> None:
    try:
        result = await application.obey(command)
    except SwitchboardError as exc:
        _emit("failed", n=command["n"], error={"code": exc.code, "message": str(exc)})
    else:
        _emit("done", n=command["n"], result=result)


async def _main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    commands = asyncio.StreamReader(limit=_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    application = _Application()
    async with asyncio.TaskGroup() as group:
        async for line in commands:
            command = json.loads(line)
            if command["do"] == "exit":
                break
            group.create_task(_answer(application, command))
        await application.close()


if __name__ == "__main__":
    asyncio.run(_main())
