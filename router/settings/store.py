"""The sections about the store and what is kept there, and about how messages travel."""

import re
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from router.settings.section import Count, Seconds, Section
from router.urls import hosts_of, path_of

EMBEDDED: Final = "embedded"
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:,@/\s]*)(:[0-9]{1,5})?")


def _redis_url(url: str) -> str:
    if url == EMBEDDED:
        return url
    if url.partition("://")[0] not in ("redis", "rediss", "unix"):
        raise ValueError('is "embedded" or starts with redis://, rediss:// or unix://')
    hosts = hosts_of(url)
    if not url.startswith("unix://") and not all(_usable(host, len(hosts)) for host in hosts):
        raise ValueError("names a server as host:port, several with commas between them")
    # Else an address could switch off what the settings ask for, and nobody would see it.
    options = parse_qsl(url.partition("?")[2], keep_blank_values=True)
    if any(name.startswith("ssl_") for name, _ in options):
        raise ValueError("has an option that begins with ssl_: set redis.ca_file and the like")
    return url


def _usable(host: str, servers: int) -> bool:
    parts = _HOST.fullmatch(host)
    if parts is None or (servers > 1 and not parts[1]):
        return False
    return not parts[2] or 0 < int(parts[2][1:]) < 65_536


def _amqp_url(url: str) -> str:
    if urlsplit(url).scheme not in ("amqp", "amqps"):
        raise ValueError("starts with amqp:// or amqps://")
    return url


class RedisSettings(Section):
    """Where the store is."""

    url: Annotated[str, AfterValidator(_redis_url)] = EMBEDDED
    mode: Literal["single", "sentinel", "cluster"] = "single"
    sentinel_master: str = "mymaster"
    sentinel_password: SecretStr = SecretStr("")
    data_dir: str = "data"
    append_fsync: Literal["always", "everysec", "no"] = "everysec"
    connect_timeout_s: Seconds = 5.0
    reply_timeout_s: Seconds = 5.0
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    check_hostname: bool = True
    envelope_keys: Annotated[
        tuple[Annotated[SecretStr, Field(min_length=32)], ...], Field(max_length=8)
    ] = ()
    envelope_keys_file: str = ""

    @model_validator(mode="after")
    def _mode_fits_the_address(self) -> "RedisSettings":
        if self.mode != "single" and self.url == EMBEDDED:
            return self  # one that is handed over beside the settings may be what is meant
        if self.mode != "single" and self.url.startswith("unix://"):
            raise ValueError(
                f'redis.mode = "{self.mode}" needs redis:// or rediss:// in redis.url: name a '
                "server, or several with commas between them"
            )
        if self.mode == "single" and self.url != EMBEDDED and len(hosts_of(self.url)) > 1:
            raise ValueError(
                'redis.url names several servers, and redis.mode = "single" takes one: name one, '
                'or set redis.mode = "cluster" or "sentinel"'
            )
        if self.mode == "cluster" and path_of(self.url) not in ("", "/", "/0"):
            raise ValueError(
                "redis.url names a database, and a Cluster has only number 0: leave it out"
            )
        return self

    @property
    def seals(self) -> bool:
        """Say whether envelopes are sealed."""
        return bool(self.envelope_keys or self.envelope_keys_file)

    @model_validator(mode="after")
    def _keys_stand_in_one_place(self) -> "RedisSettings":
        if self.envelope_keys and self.envelope_keys_file:
            raise ValueError(
                "redis.envelope_keys and redis.envelope_keys_file are both set: keep the file"
            )
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> "RedisSettings":
        if self.key_file and not self.certificate_file:
            raise ValueError("redis.key_file is set without redis.certificate_file: set both")
        # One that is handed over beside the settings is not known here.
        plain = self.url != EMBEDDED and not self.url.startswith("rediss://")
        if plain and (self.ca_file or self.certificate_file):
            raise ValueError(
                "redis.ca_file and redis.certificate_file are for TLS, and redis.url asks for "
                "none: begin it with rediss://, or leave them out"
            )
        return self


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
    min_replicas: Annotated[int, Field(ge=0, le=16)] = 0
    key_ttl_s: Seconds = 86_400.0


class DeliverySettings(Section):
    """How messages travel and how long a sender waits."""

    mode: Literal["routed", "channel", "broadcast", "fanout"] = "routed"
    amqp_url: Annotated[str, AfterValidator(_amqp_url)] = "amqp://guest:guest@127.0.0.1:5672/"
    timeout_s: Seconds = 5.0
    max_waiting: Count = 20_000
