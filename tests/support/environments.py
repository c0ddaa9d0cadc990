"""Settings as a deployment file gives them to a node: its variables, its file, its flags."""

import os
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

from router.settings import Settings, load

_PREFIX = "SWITCHBOARD_"


def settings_of(variables: Mapping[str, str], file: Path | None = None) -> Settings:
    """Return what a node would run with.

    Args:
        variables: its environment; each of ours must be a setting that there is.
        file: its config.toml; None for none.

    Raises:
        InvalidSettings: they cannot work.
    """
    known = Settings().model_dump()
    for name in variables:
        if name.startswith(_PREFIX):
            section, _, key = name.removeprefix(_PREFIX).lower().partition("__")
            assert key in known.get(section, {}), f"{name} is no setting"
    with patch.dict(os.environ, dict(variables), clear=True):
        return load(file, {})
