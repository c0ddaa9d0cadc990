"""Who is told what an open WebSocket brings."""

from typing import Any

from tornado.log import app_log

from node.pace import Pace


class Listener:
    """Whom Tornado's protocol tells what an open WebSocket brings; nothing here may wait.

    Args:
        pace: how fast frames are read; None for as fast as they come.
    """

    __slots__ = ("pace",)

    def __init__(self, pace: Pace | None = None) -> None:
        self.pace = pace

    def on_message(self, message: str | bytes) -> None:
        """Take a text or a binary message."""

    def on_ping(self, data: bytes) -> None:
        """Note a ping; Tornado answers."""

    def on_pong(self, data: bytes) -> None:
        """Take a pong."""

    def on_close(self, code: int | None) -> None:
        """The connection has ended, by whichever side.

        Args:
            code: of the client's close frame; None when it sent none.
        """

    def over(self, limit: str) -> None:
        """Note that the client ran into a limit of its connection: a word, for counting."""

    def on_ws_connection_close(self, code: int | None = None, reason: str | None = None) -> None:
        """See `WebSocketHandler.on_ws_connection_close`."""
        self.on_close(code)

    def log_exception(self, *what: Any) -> None:
        """See `RequestHandler.log_exception`."""
        app_log.error("an open WebSocket met an error that nobody expected", exc_info=what)
