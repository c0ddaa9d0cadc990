"""Settings that are valid, and still not what anybody wants."""

import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from node.checks.finding import Finding, fail, ok, warn
from router.settings import EMBEDDED, Settings, is_loopback

_PREFIX: Final = "SWITCHBOARD_"
_GUEST: Final = "guest"  # the broker's own, known to everybody
_DISTINCT: Final = 10  # characters; a random secret of 32 has more
_WORDS: Final = re.compile("secret|password|change.?me|example|test|12345|qwert", re.IGNORECASE)
_ANYBODYS: Final = stat.S_IRWXG | stat.S_IRWXO
_SECRET_FILES: Final = ("secret_file", "key_file")
_PUBLIC: Final = "auth.key_file"  # checks what others sign


def environment(names: Iterable[str], settings: Settings) -> Iterator[Finding]:
    """Find variables that look like settings and are none: they are not read.

    Args:
        names: of the environment's variables.
        settings: in use.
    """
    sections = settings.model_dump()
    known = {
        f"{_PREFIX}{section}__{key}".upper() for section, keys in sections.items() for key in keys
    }
    strays = [n for n in names if n.upper().startswith(_PREFIX) and n.upper() not in known]
    for name in sorted(strays):
        close = [k for k in known if k.replace("_", "") == name.upper().replace("_", "")]
        mend = f"did you mean {close[0]}?" if close else "config.toml lists every setting"
        yield warn("environment", f"{name} is no setting, and is not read", mend)
    if not strays:
        yield ok("environment", "every SWITCHBOARD_ variable is a setting")


def exposure(settings: Settings) -> Iterator[Finding]:
    """Find what lets in more people than it should."""
    if settings.auth.mode == "dev":
        mend = 'where others have accounts, or a proxy passes requests on, set auth.mode = "jwt"'
        yield warn("who may connect", "in auth.mode dev everybody on this machine is anybody", mend)
    else:
        yield ok("who may connect", f"users are known by auth.mode {settings.auth.mode}")
    node = settings.node
    plain = not settings.tls.certificate_file and not node.trusted_proxies
    if plain and not is_loopback(node.host):
        mend = "set tls.certificate_file and tls.key_file, or node.trusted_proxies for a proxy's"
        yield warn("tls", f"{node.host} is on the network: tokens travel readable", mend)
    for check, url in _addresses(settings):
        yield from _address(check, url)


def _addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.redis.url != EMBEDDED:
        yield "redis.url", settings.redis.url
    if settings.delivery.mode == "fanout":
        yield "delivery.amqp_url", settings.delivery.amqp_url


def _address(check: str, url: str) -> Iterator[Finding]:
    parts = urlsplit(url)
    if parts.scheme == "unix" or is_loopback(parts.hostname or "localhost"):
        yield ok(check, "it is reached without leaving this machine")
        return
    if not parts.password:
        mend = "give its users passwords (deploy/redis/users.acl), and put one into the address"
        yield fail(check, f"{parts.hostname} is on the network, and no password is sent", mend)
    elif weakness(parts.password):
        mend = "make one with: openssl rand -hex 32"
        yield fail(check, f"its password {weakness(parts.password)}", mend)
    if parts.scheme in ("redis", "amqp"):
        mend = f"begin it with {parts.scheme}s:// where the network is not your own"
        yield warn(check, "messages and the password travel readable", mend)
    elif parts.password and not weakness(parts.password):
        yield ok(check, "TLS, with a password")


def weakness(secret: str) -> str:
    """Return why a secret can be guessed, "" if nothing shows."""
    if len(secret) < 16:
        return f"has {len(secret)} characters"
    if len(set(secret)) < _DISTINCT:
        return f"has only {len(set(secret))} different characters"
    word = _WORDS.search(secret)
    return f"holds the word '{word[0].lower()}'" if word else ""


def secrets(settings: Settings) -> Iterator[Finding]:
    """Find secrets of tokens that can be guessed."""
    given = [settings.auth.secret, *settings.auth.previous_secrets]
    values = [each.get_secret_value() for each in given if isinstance(each, SecretStr)]
    path = Path(settings.auth.secret_file) if settings.auth.secret_file else None
    if path is not None:
        try:
            values.append(path.read_text(errors="replace").strip())
        except OSError:
            values.append("")  # `files` says why
    found = [weakness(value) for value in values if value]
    for weak in filter(None, found):
        yield fail("auth.secret", f"a secret {weak}", "make one with: openssl rand -hex 32")
    if found and not any(found):
        yield ok("auth.secret", "no secret looks like a word")


def files(settings: Settings, config: Path | None) -> Iterator[Finding]:
    """Find files that cannot be read, and secrets that others can read.

    Args:
        settings: in use.
        config: the file they came from; None when there is none.
    """
    if config is not None and _holds_a_secret(config):
        yield from _mode("config.toml", config, _ANYBODYS)
    for name, path in named_files(settings):
        try:
            with path.open("rb"):
                pass
        except OSError as exc:
            yield fail(name, f"{path} cannot be read: {exc.strerror}", _made_by(name))
            continue
        secret = name.endswith(_SECRET_FILES) and name != _PUBLIC
        yield from _mode(name, path, _ANYBODYS if secret else stat.S_IWOTH)


def _made_by(name: str) -> str:
    if name == "api.keys_file":
        return "`switchboard key NAME --scopes LIST --add` makes it; or name another"
    return "name a file that can"


def named_files(settings: Settings) -> list[tuple[str, Path]]:
    """Return the files that settings name: setting, and where."""
    return [
        (f"{section}.{key}", Path(value))
        for section, keys in settings.model_dump().items()
        for key, value in keys.items()
        if key.endswith("_file") and value
    ]


def _holds_a_secret(config: Path) -> bool:
    try:
        sections = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    values = [pair for keys in sections.values() if isinstance(keys, dict) for pair in keys.items()]
    return any(_is_secret(key, value) for key, value in values)


def _is_secret(key: str, value: object) -> bool:
    if key in ("secret", "previous_secrets"):
        return bool(value)
    if not key.endswith("url") or not isinstance(value, str):
        return False
    return urlsplit(value).password not in (None, _GUEST)


def _mode(name: str, path: Path, forbidden: int) -> Iterator[Finding]:
    mode = path.stat().st_mode & 0o777
    which = "changed" if forbidden == stat.S_IWOTH else "read"
    if mode & forbidden:
        mend = f"chmod {mode & ~forbidden:o} {path}"
        yield fail(name, f"{path} can be {which} by others (mode {mode:o})", mend)
    else:
        yield ok(name, f"{path} cannot be {which} by others (mode {mode:o})")


def everything(
    settings: Settings, config: Path | None, variables: Mapping[str, str]
) -> Iterator[Finding]:
    """Look at all of it."""
    yield ok("settings", "every setting is known and can work")
    yield from environment(variables, settings)
    yield from exposure(settings)
    yield from secrets(settings)
    yield from files(settings, config)
