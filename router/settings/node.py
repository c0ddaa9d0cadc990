"""The sections about one node."""

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from router.settings.section import Count, Seconds, Section


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"is '{text}', no address or network: write it like 10.0.0.7 or 10.0.0.0/8"
        ) from None
    return text


class NodeSettings(Section):
    """The process that holds the sockets."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "n1"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8001
    reuse_port: bool = False
    trusted_proxies: list[Annotated[str, AfterValidator(_network)]] = Field(default_factory=list)
    max_message_bytes: Annotated[int, Field(ge=128, le=8 * 1024 * 1024)] = 65_536
    max_data_depth: Annotated[int, Field(ge=1, le=500)] = 64
    max_waiting_bytes: Count = 262_144
    ping_interval_s: Seconds = 20.0
    drain_s: Seconds = 30.0
    isolated_s: Seconds = 15.0
    metrics: bool = True


class TlsSettings(Section):
    """What the servers of a node show; without a certificate they speak plain HTTP."""

    certificate_file: str = ""
    key_file: str = ""

    @model_validator(mode="after")
    def _key_has_certificate(self) -> "TlsSettings":
        if self.key_file and not self.certificate_file:
            raise ValueError("tls.key_file is set without tls.certificate_file: set both")
        return self


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"
    trace_user: str = ""
    traces: bool = False
