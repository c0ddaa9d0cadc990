"""The client SDK: a user's connection to a cluster, for asyncio programs.

It needs the library `websockets`: `pip install 'switchboard[client]'`.
"""

from router.client.client import Client
from router.client.words import (
    ClientClosed,
    ClientError,
    Closed,
    Connecting,
    Message,
    NotConnected,
    Open,
    Options,
    QueueFull,
    Refused,
    State,
    Waiting,
)
from router.errors import SwitchboardError
from router.model import Outcome, SendResult

__all__ = [
    "Client",
    "ClientClosed",
    "ClientError",
    "Closed",
    "Connecting",
    "Message",
    "NotConnected",
    "Open",
    "Options",
    "Outcome",
    "QueueFull",
    "Refused",
    "SendResult",
    "State",
    "SwitchboardError",
    "Waiting",
]
