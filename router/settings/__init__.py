"""config.toml + environment -> frozen settings, validated together.

Only the command line calls `load`; everything below is handed what it needs.
"""

from router.settings.api import ApiSettings
from router.settings.auth import AuthSettings
from router.settings.every import Settings
from router.settings.limits import LimitSettings
from router.settings.loading import load
from router.settings.node import LogSettings, NodeSettings, TlsSettings
from router.settings.section import is_loopback, normal_origin
from router.settings.store import (
    EMBEDDED,
    DeliverySettings,
    InboxSettings,
    LeaseSettings,
    MailboxSettings,
    RedisSettings,
    RegistrySettings,
)

__all__ = [
    "EMBEDDED",
    "ApiSettings",
    "AuthSettings",
    "DeliverySettings",
    "InboxSettings",
    "LeaseSettings",
    "LimitSettings",
    "LogSettings",
    "MailboxSettings",
    "NodeSettings",
    "RedisSettings",
    "RegistrySettings",
    "Settings",
    "TlsSettings",
    "is_loopback",
    "load",
    "normal_origin",
]
