"""Reads settings: the defaults, the file, `SWITCHBOARD_<SECTION>__<KEY>`, flags; the later win."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from router.errors import InvalidSettings
from router.settings.every import Settings

# Settings that name files and folders.
_PATHS: Final = {
    "redis": ("data_dir", "ca_file", "certificate_file", "key_file", "envelope_keys_file"),
    "tls": ("certificate_file", "key_file"),
    "auth": ("secret_file", "key_file", "jwks_file"),
    "api": ("keys_file",),
}
_SECRET: Final = re.compile("secret|url|envelope_keys")


def load(path: Path | None, flags: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
    """Read the settings of a command.

    Args:
        path: the TOML file; None for `config.toml` here, or the defaults if there is none.
        flags: section -> key -> value from the command line; None values are left out.

    Raises:
        InvalidSettings: one sentence for each thing that is wrong.
    """
    layers = [_read_file(path), _read_environment(), flags or {}]
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
    """Let a relative path mean the same from wherever a command is called."""
    changed = {}
    for name, keys in _PATHS.items():
        section = getattr(settings, name)
        paths = {key: getattr(section, key) for key in keys}
        anchored = {key: str(folder / path) for key, path in paths.items() if path}
        changed[name] = section.model_copy(update=anchored)
    return settings.model_copy(update=changed)


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


def _read_environment() -> dict[str, Any]:
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as exc:
        # It names the section, and may repeat a secret in what is chained to it.
        section = str(exc).partition('"')[2].partition('"')[0]
        names = f"SWITCHBOARD_{section.upper()}__..."
        mend = 'write it as ["a", "b"]'
        what = f"{names}: one of these variables has a list that is not JSON; {mend}"
        raise InvalidSettings([what]) from None


def _sentence(error: Any) -> str:
    """Turn one pydantic error into: where, what, the mend."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{where}: there is no such setting; config.toml lists them all"
    if error["type"] == "value_error":
        what = str(error["ctx"]["error"])
        return f"{where} {what}" if where and not what.startswith(where.split(".")[0]) else what
    what = error["msg"].removeprefix("Input should be ")
    given = "what stands there" if _SECRET.search(where) else repr(error["input"])
    return f"{where}: should be {what}, not {given}"
