"""All sections together, and what only holds for several of them."""

from pydantic import model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from router.settings.api import ApiSettings
from router.settings.auth import AuthSettings
from router.settings.limits import LimitSettings
from router.settings.node import LogSettings, NodeSettings, TlsSettings
from router.settings.section import is_loopback
from router.settings.store import (
    DeliverySettings,
    InboxSettings,
    LeaseSettings,
    MailboxSettings,
    RedisSettings,
    RegistrySettings,
)


class Settings(BaseSettings):
    """Every setting; `config.toml` documents each with its unit, default and reason."""

    model_config = SettingsConfigDict(
        frozen=True,
        hide_input_in_errors=True,  # it may be a secret
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
    tls: TlsSettings = TlsSettings()
    limits: LimitSettings = LimitSettings()
    auth: AuthSettings = AuthSettings()
    api: ApiSettings = ApiSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _dev_mode_stays_at_home(self) -> "Settings":
        if self.auth.mode == "dev" and not is_loopback(self.node.host):
            raise ValueError(
                f'node.host "{self.node.host}" is reachable from outside, and auth.mode = "dev" '
                'lets anybody be anyone: listen on 127.0.0.1 or ::1, or set auth.mode = "jwt"'
            )
        return self

    @model_validator(mode="after")
    def _dev_mode_keeps_the_api_at_home(self) -> "Settings":
        if self.auth.mode == "dev" and self.api.apart and not is_loopback(self.api.host):
            raise ValueError(
                f'api.host "{self.api.host}" is reachable from outside, and auth.mode = "dev" asks '
                "for no key: listen on 127.0.0.1 or ::1"
            )
        return self

    @model_validator(mode="after")
    def _a_node_at_a_shared_port_has_one_of_its_own(self) -> "Settings":
        if self.node.reuse_port and not (self.node.port and self.api.apart):
            raise ValueError(
                "node.reuse_port is set: name the port that is shared in node.port, and in "
                "api.port another one for each node, by which the others can reach it"
            )
        return self

    @model_validator(mode="after")
    def _what_is_sealed_is_routed(self) -> "Settings":
        if self.redis.seals and self.delivery.mode != "routed":
            raise ValueError(
                "redis.envelope_keys seals inboxes, and delivery.mode = "
                f'"{self.delivery.mode}" has none: leave the keys out, or set delivery.mode = '
                '"routed"'
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

    @model_validator(mode="after")
    def _a_message_takes_a_second_at_most(self) -> "Settings":
        if self.limits.bytes_per_second < self.node.max_message_bytes:
            raise ValueError(
                f"limits.bytes_per_second ({self.limits.bytes_per_second}) must be at least "
                f"node.max_message_bytes ({self.node.max_message_bytes}), or one message holds up "
                "what comes behind it"
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
