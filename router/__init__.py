"""Switchboard's router: who is where, and how to reach them."""

from router.aio import Router
from router.errors import SwitchboardError
from router.model import Confirm, Outcome, SendResult, UserStatus
from router.settings import Settings

__all__ = [
    "Confirm",
    "Outcome",
    "Router",
    "SendResult",
    "Settings",
    "SwitchboardError",
    "UserStatus",
]
