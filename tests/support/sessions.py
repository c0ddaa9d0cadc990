"""Sessions without a network: what they write is kept, and read by the parser of `websockets`."""

import json
from collections.abc import Callable
from typing import Any, cast

import msgspec
from websockets.frames import Frame, Opcode

from node.frames import JSON, Codec, Welcome
from node.identity import Identity
from node.pace import Limits, Pace
from node.session import ClientSession
from node.sockets import Socket
from router.model import Offset, SessionId, UserId
from router.settings import LimitSettings
from tests.support.clients import parse_frames


class RecordingSocket:
    """Stands in for a `node.sockets.Socket` and remembers.

    `waiting_bytes` is what the test says, as if the client had stopped reading there.
    """

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.waiting_bytes = 0
        self.closed_with: tuple[int, str] | None = None
        self.aborted = False

    def write(self, frames: bytes) -> None:
        self.writes.append(frames)

    def close(self, code: int, reason: str) -> None:
        self.closed_with = (code, reason)

    def abort(self) -> None:
        self.aborted = True

    def frames(self) -> list[Frame]:
        """Return every frame written so far, and forget them."""
        frames = parse_frames(b"".join(self.writes))
        self.writes.clear()
        return frames

    def said(self) -> list[dict[str, Any]]:
        """Return what the data frames written so far say, pings left out, and forget them."""
        return [_read(frame) for frame in self.frames() if frame.opcode is not Opcode.PING]

    def pings(self) -> list[bytes]:
        """Return the payload of each ping written so far, and forget all frames."""
        return [bytes(frame.data) for frame in self.frames() if frame.opcode is Opcode.PING]


def _read(frame: Frame) -> dict[str, Any]:
    if frame.opcode is Opcode.BINARY:
        return cast(dict[str, Any], msgspec.msgpack.decode(frame.data))
    return cast(dict[str, Any], json.loads(bytes(frame.data)))


class Sessions:
    """Makes sessions, each with a socket that remembers.

    Args:
        max_waiting_bytes: of each.
        on_close: told of each that ends; None for `ended`.
    """

    def __init__(
        self,
        max_waiting_bytes: int = 262_144,
        on_close: Callable[[ClientSession], None] | None = None,
    ) -> None:
        self._max_waiting_bytes = max_waiting_bytes
        self._made = 0
        self.ended: list[ClientSession] = []
        self.acknowledged: list[tuple[ClientSession, Offset]] = []
        self._on_close = on_close or self.ended.append

    def make(
        self,
        user: str = "alice",
        *,
        codec: Codec = JSON,
        welcomed: bool = True,
        resume_after: Offset | None = None,
        manual_acks: bool = False,
    ) -> tuple[ClientSession, RecordingSocket]:
        """Return a session, and its socket with nothing written to it yet."""
        self._made += 1
        socket = RecordingSocket()
        session = ClientSession(
            Identity(UserId(user)),
            SessionId(f"s{self._made}"),
            device="web",
            address="127.0.0.1",
            since=float(self._made),
            codec=codec,
            socket=cast(Socket, socket),
            pace=Pace(Limits(LimitSettings()), 0.0),
            max_waiting_bytes=self._max_waiting_bytes,
            on_close=self._on_close,
            on_ack=lambda session, offset: self.acknowledged.append((session, offset)),
            resume_after=resume_after,
            manual_acks=manual_acks,
        )
        if welcomed:
            session.welcome(welcome(session))
            socket.frames()
        return session, socket


def welcome(session: ClientSession) -> Welcome:
    """Return the first frame of a session."""
    return Welcome(
        session=session.id,
        user=session.user,
        node="n1",
        device=session.device,
        resumed=False,
        offset="",
        max_message_bytes=65_536,
    )
