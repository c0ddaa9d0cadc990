"""One WebSocket of a client: everything it reads is noted before it is answered."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import msgspec

from scripts.faults.entries import Acked, Closed, Deaf, Got, Opened
from scripts.faults.ledger import Pen, now
from scripts.measuring import websocket
from scripts.measuring.place import place_of

_LOOKS = 20  # as often it is looked in the time of a silence
LEFT, VANISHED, LOST, GOODBYE = "left", "vanished", "lost", "goodbye"
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended.

    Args:
        why: see `entries.Closed`.
        again_s: when the server wants the client back; 0 where it said nothing.
    """

    why: str
    again_s: float = 0.0


class Owner(Protocol):
    """Whose connection it is."""

    user: str
    name: str
    ack: str
    token: str

    def begin(self, offset: str) -> None:
        """Take the position from which messages come on a new connection; "" for none."""

    def new(self, origin: str, id: str, offset: str) -> bool:
        """Take a message; return whether the application had it not yet."""


class Connection(asyncio.Protocol):
    """A WebSocket, from its handshake to its end.

    Args:
        number: of the connection in the ledger.
        owner: the device.
        address: the node's, host, colon, port.
        query: of the handshake, behind user and device.
        since: the offset after which the query asks to go on; "" for none.
        pen: the ledger.
        silence_s: a node of which nothing came for so long is given up; 0 for never.
    """

    def __init__(
        self,
        number: int,
        owner: Owner,
        address: str,
        query: str,
        since: str,
        pen: Pen,
        silence_s: float,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.address = address
        self.welcomed: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[Ending] = loop.create_future()
        self.reading = True
        self._owner = owner
        self._query = query
        self._since = since
        self._pen = pen
        self._rest = b""
        self._upgraded = False
        self._code = 0
        self._goodbye: Ending | None = None
        self._transport: asyncio.Transport | None = None
        self._silence_s = silence_s
        self._heard_at = loop.time()
        if silence_s:
            loop.call_later(silence_s / _LOOKS, self._look)

    @property
    def live(self) -> bool:
        """Say whether it was welcomed and has not ended."""
        return self.welcomed.done() and not self.ended.done()

    # ---- asyncio's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the WebSocket."""
        self._transport = cast(asyncio.Transport, transport)
        owner, (place, port) = self._owner, place_of(self.address)
        who = "" if owner.token else f"user={owner.user}&"
        path = f"/ws?{who}device={owner.name}{self._query}"
        self._transport.write(websocket.handshake(place.host, port, path, owner.token))

    def data_received(self, data: bytes) -> None:
        """Note what came, then answer the pings in it."""
        at = now()
        self._heard_at = asyncio.get_running_loop().time()
        data = self._rest + data
        if not self._upgraded:
            try:
                rest = websocket.split_response(data)
            except websocket.ProtocolError as exc:
                self._end(Ending(LOST), str(exc))
                self._abort()
                return
            if rest is None:
                self._rest = data
                return
            self._upgraded = True
            data = rest
        frames, self._rest = websocket.split_frames(data)
        for opcode, payload in frames:
            self._frame(at, opcode, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server, the system or we ourselves have ended it."""
        self._end(self._goodbye or Ending(LOST), "the connection ended")

    # ---- the client's side ------------------------------------------------------------------

    def leave(self) -> None:
        """Say goodbye as a client does."""
        self._end(Ending(LEFT))
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(websocket.goodbye())
            self._transport.close()

    def vanish(self, linger_s: float) -> None:
        """Read and answer nothing any more, without a word; after `linger_s` the socket ends."""
        if self.ended.done() or self._transport is None:
            return
        self.hear(listen=False)
        self._end(Ending(VANISHED))
        asyncio.get_running_loop().call_later(linger_s, self._abort)

    def hear(self, *, listen: bool) -> None:
        """Stop reading, or read again."""
        transport = self._transport
        if self.ended.done() or transport is None or transport.is_closing():
            return
        if self.reading == listen:
            return
        self.reading = listen
        if self.welcomed.done():
            self._pen.note(Deaf(now(), self.number, off=listen))
        if listen:
            self._heard_at = asyncio.get_running_loop().time()
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _look(self) -> None:
        """Give up a node of which nothing comes, not even a ping; who does not read cannot tell."""
        if self.ended.done():
            return
        loop = asyncio.get_running_loop()
        if self.reading and loop.time() - self._heard_at > self._silence_s:
            self._end(Ending(LOST), f"nothing came for {self._silence_s:g} s")
            self._abort()
        else:
            loop.call_later(self._silence_s / _LOOKS, self._look)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # ---- frames -----------------------------------------------------------------------------

    def _frame(self, at: int, opcode: int, payload: bytes) -> None:
        if self.ended.done():
            return  # what comes after the end is no receipt, and is not answered
        if opcode == websocket.TEXT:
            self._text(at, _decode(payload))
        elif opcode == websocket.PING:
            self._write(websocket.pong(payload))
        elif opcode == websocket.CLOSE:
            self._code = int.from_bytes(payload[:2], "big")
            self._end(self._goodbye or Ending(LOST), f"closed with {self._code}")
            if self._transport is not None:
                self._transport.close()

    def _text(self, at: int, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind == "message":
            self._message(at, frame)
        elif kind == "welcome":
            self._pen.note(_opened(at, self.number, self._owner, frame, self._since))
            self._owner.begin(frame.get("offset", ""))
            self.welcomed.set_result(None)
        elif kind == "goodbye":
            self._goodbye = Ending(GOODBYE, frame.get("reconnect_after_ms", 0) / 1000)

    def _message(self, at: int, frame: dict[str, Any]) -> None:
        origin, offset = frame.get("from", ""), frame.get("offset", "")
        new = self._owner.new(origin, frame["id"], offset)
        replay = frame.get("replay", False)
        self._pen.note(
            Got(at, self.number, frame["id"], origin, frame["data"], offset, replay, repeat=not new)
        )
        if offset and self._owner.ack == "manual":
            self._pen.note(Acked(now(), self.number, offset))
            self._write(
                websocket.client_text(msgspec.json.encode({"type": "ack", "offset": offset}))
            )

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self, ending: Ending, why_refused: str = "") -> None:
        if self.ended.done():
            return
        self.ended.set_result(ending)
        if self.welcomed.done():
            self._pen.note(Closed(now(), self.number, ending.why, self._code))
        else:
            self.welcomed.set_exception(
                ConnectionError(why_refused or "it left before its welcome")
            )
            self.welcomed.exception()  # whoever waits hears it; nobody must


def _opened(at: int, number: int, owner: Owner, frame: dict[str, Any], since: str) -> Opened:
    return Opened(
        at,
        number,
        owner.user,
        owner.name,
        frame["node"],
        frame["session"],
        frame.get("resumed", False),
        frame.get("offset", ""),
        since,
        owner.ack,
    )


Numbers = Callable[[], int]


async def connect(
    numbers: Numbers,
    owner: Owner,
    address: str,
    query: str,
    since: str,
    pen: Pen,
    limit_s: float,
    silence_s: float,
) -> Connection:
    """Return a connection that was welcomed; arguments as of `Connection`.

    Raises:
        OSError: nobody listens, the node refused, or no welcome came within `limit_s`.
    """
    loop = asyncio.get_running_loop()
    connection = Connection(numbers(), owner, address, query, since, pen, silence_s)
    place, port = place_of(address)
    try:
        async with asyncio.timeout(limit_s):
            await loop.create_connection(lambda: connection, place.host, port)
            await connection.welcomed
    except TimeoutError as exc:
        connection.leave()
        raise OSError(f"no welcome within {limit_s:g} s") from exc
    return connection
