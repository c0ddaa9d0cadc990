"""The section about the HTTP API: who may call it, and where it listens."""

from typing import Annotated

from pydantic import Field

from router.settings.section import Section


class ApiSettings(Section):
    """The HTTP API, the metrics and the operator's page."""

    keys_file: str = ""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 0

    @property
    def apart(self) -> bool:
        """Say whether it listens at an address of its own, and not where WebSockets come."""
        return self.port != 0
