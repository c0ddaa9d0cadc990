"""`switchboard key`: makes a key for a program that calls the API."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from node.auth import Scope, apikeys
from node.cli.common import ConfigOption, JsonOption, RedisOption, begin, print_json, say
from router.errors import InvalidRequest, InvalidSettings, ServerFailed

_PRIVATE: Final = 0o600
_SECOND: Final = timedelta(seconds=1)


class _Made(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    name: str
    key: str
    sha256: str
    scopes: list[str]
    expires: datetime | None


def key(
    name: Annotated[str, typer.Argument(help="What the log calls whoever has it.")],
    scopes: Annotated[
        str, typer.Option(metavar="LIST", help="What it is for: send, read, kick, admin (all).")
    ],
    days: Annotated[
        float | None, typer.Option(min=0, help="After so many it ends; without, never.")
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Add it to the file api.keys_file.")] = False,
    config: ConfigOption = None,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key for the API. It is shown once; the file of the nodes has only its hash."""
    settings = begin(config, redis, as_json).settings
    made = _make(name, scopes, days)
    file = settings.api.keys_file
    if add:
        if not file:
            raise InvalidSettings(
                ['api.keys_file: no file is named: write keys_file = "keys.toml"']
            )
        _append(Path(file), _lines(made))
    if as_json:
        print_json(made)
        return
    print(made.key)
    if add:
        say(f"Its hash is in {file}; running nodes take it within seconds. The key is shown once.")
    else:
        say("The key is shown once. These lines belong into the file that api.keys_file names:")
        print("\n" + _lines(made), end="")


def _make(name: str, scopes: str, days: float | None) -> _Made:
    wanted = [word.strip() for word in scopes.split(",")]
    unknown = [word for word in wanted if word not in list(Scope)]
    if unknown:
        raise InvalidRequest("scopes", f"'{unknown[0]}' is not one of {', '.join(Scope)}")
    new = apikeys.make(name)
    expires = None
    if days is not None:
        try:
            expires = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0) + _SECOND
        except OverflowError as exc:
            raise InvalidRequest("days", f"{days:g} days from now there is no calendar") from exc
    digest = apikeys.digest_of(new).hex()
    return _Made(name, new, digest, list(dict.fromkeys(wanted)), expires)


def _lines(made: _Made) -> str:
    """Return a key as the file has it; nothing in it needs quoting."""
    scopes = ", ".join(f'"{scope}"' for scope in made.scopes)
    lines = [
        "[[key]]",
        f'name = "{made.name}"',
        f'sha256 = "{made.sha256}"',
        f"scopes = [{scopes}]",
    ]
    if made.expires is not None:
        lines.append(f"expires = {made.expires:%Y-%m-%dT%H:%M:%SZ}")
    return "\n".join(lines) + "\n"


def _append(path: Path, lines: str) -> None:
    """Add a key to the file, in one write, so that a node never reads half of it.

    Raises:
        InvalidSettings: what is there already is no list of keys.
        ServerFailed: it cannot be written.
    """
    if path.exists():
        apikeys.read(path)
    try:
        path.touch(_PRIVATE)
        with path.open("ab") as file:
            file.write(f"\n{lines}".encode())
    except OSError as exc:
        raise ServerFailed(f"api.keys_file: {path}: {exc.strerror}") from exc


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command("key", epilog="Example: switchboard key backend --scopes send,read --add")(key)
