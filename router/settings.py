"""config.toml + environment -> frozen settings, validated together.

Sources, the later ones winning: the defaults here, the file, `SWITCHBOARD_<SECTION>__<KEY>`, flags.
Only the command line calls `load`; everything below is handed what it needs.
"""

import ipaddress
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from router.errors import InvalidSettings

EMBEDDED = "embedded"
Seconds = Annotated[float, Field(gt=0, le=86_400 * 30)]
Count = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """One table of config.toml: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _redis_url(url: str) -> str:
    if url != EMBEDDED and urlsplit(url).scheme not in ("redis", "rediss", "unix"):
        raise ValueError('is "embedded" or starts with redis://, rediss:// or unix://')
    return url


def _amqp_url(url: str) -> str:
    if urlsplit(url).scheme not in ("amqp", "amqps"):
        raise ValueError("starts with amqp:// or amqps://")
    return url


class RedisSettings(Section):
    """Where the store is."""

    url: Annotated[str, AfterValidator(_redis_url)] = EMBEDDED
    data_dir: str = "data"
    append_fsync: Literal["always", "everysec", "no"] = "everysec"
    connect_timeout_s: Seconds = 5.0
    reply_timeout_s: Seconds = 5.0


class RegistrySettings(Section):
    """The online-user registry."""

    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,32}$")] = "sb"
    cache: bool = True
    cache_users: Count = 100_000
    user_ttl_s: Seconds = 180.0
    seen_ttl_s: Seconds = 30 * 86_400.0


class LeaseSettings(Section):
    """How long an endpoint is taken to be alive."""

    ttl_s: Seconds = 10.0
    heartbeat_s: Seconds = 2.5

    @model_validator(mode="after")
    def _beats_fit(self) -> "LeaseSettings":
        if self.ttl_s <= 2 * self.heartbeat_s:
            raise ValueError(
                f"lease.ttl_s ({self.ttl_s:g}) must be above 2 x lease.heartbeat_s "
                f"({self.heartbeat_s:g}), or one late heartbeat loses the lease"
            )
        return self


class InboxSettings(Section):
    """The private list of an endpoint."""

    max_length: Annotated[int, Field(ge=512)] = 10_000
    max_bytes: Annotated[int, Field(ge=4 * 1024 * 1024)] = 67_108_864
    batch: Annotated[int, Field(ge=2, le=512)] = 512
    block_s: Annotated[float, Field(ge=0.1, le=60)] = 5.0


class MailboxSettings(Section):
    """The durable messages of one user."""

    max_length: Count = 1_000
    max_bytes: Annotated[int, Field(ge=16 * 1024)] = 4 * 1024 * 1024
    max_devices: Count = 32
    ttl_s: Seconds = 7 * 86_400.0
    key_ttl_s: Seconds = 86_400.0


class DeliverySettings(Section):
    """How messages travel and how long a sender waits."""

    mode: Literal["routed", "channel", "broadcast", "fanout"] = "routed"
    amqp_url: Annotated[str, AfterValidator(_amqp_url)] = "amqp://guest:guest@127.0.0.1:5672/"
    timeout_s: Seconds = 5.0
    max_waiting: Count = 20_000


class NodeSettings(Section):
    """The process that holds the sockets."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "n1"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8001
    max_message_bytes: Annotated[int, Field(ge=128, le=8 * 1024 * 1024)] = 65_536
    max_waiting_bytes: Count = 262_144
    ping_interval_s: Seconds = 20.0
    drain_s: Seconds = 30.0
    isolated_s: Seconds = 15.0


class AuthSettings(Section):
    """Who may connect and call."""

    mode: Literal["dev"] = "dev"


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Settings(BaseSettings):
    """Every setting; `config.toml` documents each with its unit, default and reason."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="SWITCHBOARD_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        nested_model_default_partial_update=True,
    )

    redis: RedisSettings = RedisSettings()
    registry: RegistrySettings = RegistrySettings()
    lease: LeaseSettings = LeaseSettings()
    inbox: InboxSettings = InboxSettings()
    mailbox: MailboxSettings = MailboxSettings()
    delivery: DeliverySettings = DeliverySettings()
    node: NodeSettings = NodeSettings()
    auth: AuthSettings = AuthSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _dev_mode_stays_at_home(self) -> "Settings":
        if self.auth.mode == "dev" and not is_loopback(self.node.host):
            raise ValueError(
                f'node.host "{self.node.host}" is reachable from outside, and auth.mode = "dev" '
                "lets anybody be anyone: listen on 127.0.0.1 or ::1"
            )
        return self

    @model_validator(mode="after")
    def _messages_fit_into_inboxes(self) -> "Settings":
        if self.inbox.max_bytes < 4 * self.node.max_message_bytes:
            raise ValueError(
                f"inbox.max_bytes ({self.inbox.max_bytes}) must be at least 4 x "
                f"node.max_message_bytes ({self.node.max_message_bytes}), or a few messages fill "
                "an inbox"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what the caller hands over: a library must not read the environment."""
        return (init_settings,)


def is_loopback(host: str) -> bool:
    """Say whether `host` is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(path: Path | None, flags: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
    """Read the settings of a command.

    Args:
        path: the TOML file; None for `config.toml` here, or the defaults if there is none.
        flags: section -> key -> value from the command line; None values are left out.

    Raises:
        InvalidSettings: one sentence for each thing that is wrong.
    """
    layers = [_read_file(path), EnvSettingsSource(Settings)(), flags or {}]
    merged: dict[str, Any] = {}
    for layer in layers:
        for section, values in layer.items():
            if isinstance(values, Mapping) and isinstance(merged.get(section, {}), dict):
                given = {key: value for key, value in values.items() if value is not None}
                merged[section] = {**merged.get(section, {}), **given}
            else:
                merged[section] = values
    try:
        settings = Settings(**merged)
    except ValidationError as exc:
        raise InvalidSettings([_sentence(error) for error in exc.errors()]) from exc
    return settings if path is None else _anchored(settings, path.parent)


def _anchored(settings: Settings, folder: Path) -> Settings:
    """Let a relative `data_dir` mean the same from wherever a command is called."""
    data_dir = str(folder / settings.redis.data_dir)
    redis = settings.redis.model_copy(update={"data_dir": data_dir})
    return settings.model_copy(update={"redis": redis})


def _read_file(path: Path | None) -> dict[str, Any]:
    file = path or Path("config.toml")
    if path is None and not file.exists():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise InvalidSettings([f"{file}: {exc.strerror}; name a file that exists"]) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InvalidSettings([f"{file}: not valid TOML: {exc}"]) from exc


def _sentence(error: Any) -> str:
    """Turn one pydantic error into: where, what, the mend."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{where}: there is no such setting; config.toml lists them all"
    if error["type"] == "value_error":
        what = str(error["ctx"]["error"])
        return f"{where} {what}" if where and not what.startswith(where.split(".")[0]) else what
    what = error["msg"].removeprefix("Input should be ")
    return f"{where}: should be {what}, not {error['input']!r}"
