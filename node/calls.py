"""What clients ask the application around a node, and what it answers."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from node.frames import BadFrame, CallFrame, ErrorFrame, Reply, data_of
from node.identity import Identity
from node.inbound import error_frame
from node.session import ClientSession
from router.counts import Counts
from router.errors import ApplicationFailed, SwitchboardError
from router.model import SessionId, UserId

DEADLINE_S: Final = 10.0
_PER_SESSION: Final = 16
_IN_ALL: Final = 1_000
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose call it is.

    Args:
        user, session, device: as `Router.sessions` tells of them.
        identity: what they may do, and until when.
    """

    user: UserId
    session: SessionId
    device: str
    identity: Identity


OnMessage = Callable[[Caller, Any], Any | Awaitable[Any]]
"""Takes what a client sent to the application, and returns what to answer: a JSON value."""


class Calls:
    """Hands `call` frames to the application, each in a task of its own.

    Args:
        on_message: the application's own; None for none, and then calls are refused.
        counts: of the process.
        deadline_s: how long it may take for one call.
        per_session: calls of one session that may be under way; one more is refused.
        in_all: the same for all sessions of this node.
    """

    def __init__(
        self,
        on_message: OnMessage | None,
        counts: Counts,
        *,
        deadline_s: float = DEADLINE_S,
        per_session: int = _PER_SESSION,
        in_all: int = _IN_ALL,
    ) -> None:
        self._on_message = on_message
        self._counts = counts
        self._deadline_s = deadline_s
        self._per_session = per_session
        self._in_all = in_all
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: dict[ClientSession, int] = {}

    async def stop(self) -> None:
        """Cancel what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def take(self, session: ClientSession, frame: CallFrame) -> None:
        """Begin to answer a call.

        Raises:
            BadFrame: its data cannot be said in JSON.
        """
        if self._on_message is None:
            words = "nobody answers calls here: the node is not part of a program that does"
            session.send(ErrorFrame("unsupported", words, frame.ref))
            return
        try:
            data = msgspec.json.decode(data_of(session.codec, frame))
        except (msgspec.DecodeError, RecursionError) as exc:
            raise BadFrame("invalid_request", f"data: {exc}", frame.ref) from exc
        mine = self._under_way.get(session, 0)
        if mine >= self._per_session or len(self._tasks) >= self._in_all:
            words = "too many calls wait for the application; this one was not made"
            session.send(ErrorFrame("too_many", words, frame.ref))
            return
        self._under_way[session] = mine + 1
        work = self._answer(self._on_message, session, frame.ref, data)
        task = asyncio.create_task(work, name="call")
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(session, task))

    async def _answer(
        self, on_message: OnMessage, session: ClientSession, ref: str | int | None, data: Any
    ) -> None:
        caller = Caller(session.user, session.id, session.device, session.identity)
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = on_message(caller, data)
                if inspect.isawaitable(answer):
                    answer = await answer
            value = session.codec.value(msgspec.json.encode(answer))
        except SwitchboardError as exc:
            session.send(error_frame(exc, ref))
        except Exception:  # noqa: BLE001 - whatever a program may raise: this is the edge to it
            self._counts.failed("on_message")
            _log.exception("on_message has failed")
            session.send(error_frame(ApplicationFailed("on_message"), ref))
        else:
            if ref is not None or answer is not None:
                session.send(Reply(value, ref))

    def _ended(self, session: ClientSession, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        left = self._under_way[session] - 1
        if left:
            self._under_way[session] = left
        else:
            del self._under_way[session]
        if not task.cancelled() and task.exception() is not None:
            self._counts.failed("on_message")
            _log.error("a call could not be answered", exc_info=task.exception())
