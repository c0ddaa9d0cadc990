"""`switchboard token`: makes a token for a user, for tests and demos."""

import re
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from node.auth.issuing import Grant, issue
from node.cli.common import ConfigOption, JsonOption, RedisOption, begin, print_json
from router.errors import InvalidRequest

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_RIGHTS: Final = ("send", "durable")


class _Made(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    token: str
    user: str
    expires_at: int


def token(
    user: Annotated[str, typer.Argument(help="Whose token.")],
    ttl: Annotated[
        str, typer.Option(metavar="TIME", help="How long it counts: 90s, 15m, 1h, 7d.")
    ] = "1h",
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="The only device it is for.")
    ] = None,
    can: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Beside receiving: send,durable; '' for nothing. Else as auth.can says.",
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Whom they may send to; may come several times."),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Private key to sign with, where nodes have a public."),
    ] = None,
    kid: Annotated[
        str | None, typer.Option(metavar="NAME", help="The name of that key in the JWK set.")
    ] = None,
    config: ConfigOption = None,
    redis: RedisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a signed token of a user, for tests and demos."""
    settings = begin(config, redis, as_json).settings
    grant = Grant(user, _seconds(ttl), device, _rights(can), to or None)
    private = None if key_file is None else _read(key_file)
    try:
        made = issue(settings.auth, grant, private, kid)
    except InvalidRequest as exc:
        field = {"key": "--key-file", "device": "--device", "to": "--to"}.get(exc.field, exc.field)
        raise InvalidRequest(field, exc.reason) from exc
    if as_json:
        print_json(_Made(made.token, made.user, made.expires_at))
    else:
        print(made.token)


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if seconds <= 0:
        raise InvalidRequest("--ttl", f"'{text}' is no time like 90s, 15m, 1h or 7d")
    return seconds


def _rights(text: str | None) -> list[str] | None:
    if text is None:
        return None
    rights = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for right in rights:
        if right not in _RIGHTS:
            raise InvalidRequest("--can", f"'{right}' is not one of {', '.join(_RIGHTS)}")
    return rights


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        raise InvalidRequest("--key-file", f"{exc.strerror}: {file}") from exc


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command("token", epilog="Example: switchboard token alice --ttl 10m --can send")(token)
