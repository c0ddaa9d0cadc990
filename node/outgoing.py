"""What waits to be written to one client: collected, bounded, and written in one go."""

from node.limits import Room, Shares
from node.sockets import Socket


class Outgoing:
    """Frames on their way to one socket.

    Args:
        socket: where they go.
        room_bytes: bound on what waits, here and in the socket; see `Shares`.
    """

    __slots__ = ("_bytes", "_frames", "_room_bytes", "_shares", "_socket", "taken")

    def __init__(self, socket: Socket, room_bytes: int) -> None:
        self._socket = socket
        self._room_bytes = room_bytes
        self._shares = Shares(room_bytes)
        self._frames: list[bytes] = []
        self._bytes = 0
        self.taken = 0  # how often frames were, so far

    @property
    def waiting_bytes(self) -> int:
        """Return how much waits, here and in the socket."""
        return self._socket.waiting_bytes + self._bytes

    def put(self, frames: bytes, sender: str) -> Room:
        """Collect frames for the next `flush`, if there is room.

        Args:
            frames: whole WebSocket frames.
            sender: who they are from; "" for the node.
        """
        room = self._shares.ask(sender, self.waiting_bytes, len(frames))
        if room is Room.TAKE:
            self._frames.append(frames)
            self._bytes += len(frames)
            self.taken += 1
        return room

    def first(self, frames: bytes) -> None:
        """Put frames before all that has collected."""
        self._frames.insert(0, frames)

    def fits(self, length_bytes: int) -> bool:
        """Say whether there is room for so much, and as much again for what cannot wait."""
        waiting_bytes = self.waiting_bytes
        return not waiting_bytes or waiting_bytes + length_bytes <= self._room_bytes // 2

    def flush(self, behind: bytes = b"") -> None:
        """Write what has collected, and `behind` after it."""
        if behind:
            self._frames.append(behind)
        if self._frames:
            frames = self._frames
            self._frames = []
            self._bytes = 0
            self._socket.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def drop(self) -> None:
        """Forget what has collected."""
        self._frames = []
        self._bytes = 0
