"""Replies: bytes on a connection to the store, in pieces, as the hot paths read them."""

import asyncio
import re
from types import SimpleNamespace
from typing import Any, Final, cast

import structlog

from router.counts import Counts
from router.keys import Keys
from router.model import EndpointId
from router.settings import LeaseSettings
from router.store.lease import Leases
from router.store.registry import _sessions
from router.store.routes import parse_routes
from router.store.wire import Wire

REPLIES: Final = (
    b"+OK\r\n:1\r\n$3\r\nabc\r\n",
    b"*2\r\n$9\r\nn1.ab12/s\r\n$9\r\nn1.cd34/s\r\n*0\r\n_\r\n",
    b"%1\r\n$9\r\nn1.ab12/s\r\n$2\r\n\x93\x01\r\n-ERR no\r\n",
    b">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n+OK\r\n#t\r\n,1.5\r\n(123\r\n",
)
WORDS: Final = (
    *(b"*-1\r\n", b"$-1\r\n", b"*99999\r\n", b"$999999999999\r\n", b"%-1\r\n", b"_\r\n"),
    *(
        b"*1\r\n" * 12,
        b">0\r\n",
        b">1\r\n",
        b"~1\r\n",
        b"=6\r\ntxt:ab\r\n",
        b",nan\r\n",
        b",inf\r\n",
    ),
    *(b"#f\r\n", b"(9999999999999999999999\r\n", b"!3\r\nERR\r\n", b"\r\n", b"-MOVED 1 a:1\r\n"),
)
_ANNOUNCES_MUCH: Final = re.compile(rb"[*%~>|]\+?[0-9]{7}")
_ASKED: Final = 3
# They ask nothing here.
_STORE: Final = cast(Any, SimpleNamespace(counts=Counts()))
_LEASES: Final = Leases(_STORE, Keys("sb"), LeaseSettings())
_loop: Final = asyncio.new_event_loop()


class _Transport(asyncio.Transport):
    """Takes what is written, and ends when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Nothing to do: the bytes are handed to the protocol by hand."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nobody reads it."""

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted


class _Writer:
    def __init__(self) -> None:
        self.transport = _Transport()


class _Connection:
    """What a `Wire` takes from redis-py's connection."""

    def __init__(self) -> None:
        self._writer = _Writer()
        self._reader = asyncio.StreamReader(loop=_loop)


def replies(data: bytes) -> None:
    """Feed a wire with three questions open; each is answered once, whatever the store says.

    But for one thing: hiredis makes room for as many elements as a header announces. A server that
    announces a thousand million is not somebody who wrote something into our store.
    """
    if _ANNOUNCES_MUCH.search(data):
        return
    _loop.run_until_complete(_feed(data))


async def _feed(data: bytes) -> None:
    answers: list[list[Any] | None] = []
    ends: list[str] = []
    connection = _Connection()
    transport = connection._writer.transport
    wire = Wire(cast(Any, connection), _nothing, ends.append, 5.0)
    with structlog.testing.capture_logs() as logged:
        for count in range(1, _ASKED + 1):
            wire.send(b"", count, answers.append)
        half = len(data) // 2
        for piece in (data[:half], data[half:]):
            if piece and not transport.aborted:
                wire.data_received(piece)
        wire.connection_lost(None)
    assert not logged, logged
    assert len(answers) == _ASKED
    assert len(ends) == 1
    for answer in answers:
        _parse(answer or [])


def _nothing(message: list[Any]) -> None:
    """Take a push message."""


def _parse(answer: list[Any]) -> None:
    """Read those replies whose type is the one that the scripts and commands promise."""
    for reply in answer:
        if isinstance(reply, list) and all(isinstance(each, bytes) for each in reply):
            parse_routes(reply)
            _sessions(dict(zip(reply[::2], reply[1::2], strict=False)))
        if isinstance(reply, bytes):
            _LEASES._describe(EndpointId("n1.ab"), reply, reply, 5, 0)
