"""The sections about who may connect and call."""

from typing import Literal

from router.settings.section import Section


class AuthSettings(Section):
    """Who may connect and call."""

    mode: Literal["dev"] = "dev"
