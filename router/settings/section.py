"""What every section of the settings is made of."""

import ipaddress
import re
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=86_400 * 30)]
Count = Annotated[int, Field(gt=0)]
_ORIGIN: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?P<port>:[0-9]{1,5})?"
)
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


class Section(BaseModel):
    """One table of config.toml: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def is_loopback(host: str) -> bool:
    """Say whether `host` is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def normal_origin(origin: str) -> str | None:
    """Return the origin of a page as browsers write it; None if it is none, as `null`.

    Source: RFC 6454 section 6.2.
    """
    match = _ORIGIN.fullmatch(origin.lower())
    if match is None:
        return None
    scheme, host, port = match.group("scheme", "host", "port")
    return f"{scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[scheme]) else port)
