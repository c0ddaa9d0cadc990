"""Keys for programs that call the API: who has one, and what each is for."""

import hashlib
import hmac
import re
import secrets
import time
import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import structlog
from msgspec import Meta
from tornado.httputil import HTTPServerRequest

from node.auth.bearer import Place, bearer_of
from node.auth.gate import Scope
from router.counts import Counts
from router.errors import Forbidden, InvalidRequest, InvalidSettings, Unauthenticated

PREFIX: Final = "sb_"
_RANDOM_BYTES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,32}")
_KEY: Final = re.compile(r"sb_[A-Za-z0-9-]{1,32}_[A-Za-z0-9_-]{43}")
_MAX_KEYS: Final = 1_000
# How often it is looked whether the file has changed: so long a key counts that was taken out.
_LOOK_S: Final = 2.0
# One sentence for every caller who is not known: which part of a key is right is not told.
_REFUSAL: Final = (
    "this needs a key of the API that counts here, in the header 'Authorization: Bearer sb_...'; "
    "`switchboard key` makes one"
)
_log = structlog.get_logger()


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key, as the file has it.

    Args:
        name: for people and the log.
        sha256: of the whole key, as hexadecimal digits; the key itself is nowhere.
        scopes: what it is for.
        expires: when it ends; None for never.
    """

    name: Annotated[str, Meta(pattern=rf"^{_NAME.pattern}$")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[frozenset[Scope], Meta(min_length=1)]
    expires: Annotated[datetime, Meta(tz=True)] | None = None

    def may(self, scope: Scope) -> bool:
        """Say whether this key is for `scope`."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: Annotated[tuple[ApiKey, ...], Meta(max_length=_MAX_KEYS)] = ()


def make(name: str) -> str:
    """Return a new key.

    Raises:
        InvalidRequest: `name` is none.
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest("name", "has 1 to 32 letters, digits or -")
    return f"{PREFIX}{name}_{secrets.token_urlsafe(_RANDOM_BYTES)}"


def digest_of(key: str) -> bytes:
    """Return what is kept of a key.

    It needs no salt and no slow hash: there are 256 random bits in it, which nobody can try.
    """
    return hashlib.sha256(key.encode()).digest()


def read(path: Path) -> tuple[ApiKey, ...]:
    """Return the keys of a file.

    Raises:
        InvalidSettings: it cannot be read, or is no list of keys; the sentence says where.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File).key
    except OSError as exc:
        problem = f"{exc.strerror}; `switchboard key NAME --scopes send --add` makes it"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        problem = f"not valid TOML: {exc}"
    except msgspec.ValidationError as exc:
        problem = f"{exc}; `switchboard key` prints what belongs there"
    raise InvalidSettings([f"api.keys_file: {path}: {problem}"])


class ApiKeys:
    """The keys that count now.

    The file is read again when it has changed, so a key can be put in and taken out while a node
    runs. One that cannot be used changes nothing: the keys of before stay, and the log says so.

    Args:
        path: of the file; None for no keys, which lets nobody in.
        counts: of the process; None for its own.
        now: seconds since 1970.
        clock: seconds, ever rising.

    Raises:
        InvalidSettings: the file cannot be used.
    """

    def __init__(
        self,
        path: Path | None,
        counts: Counts | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._counts = counts or Counts()
        self._now = now
        self._clock = clock
        self._keys: list[tuple[bytes, ApiKey]] = []
        self._seen: tuple[int, ...] | None = None
        self._look_at = clock() + _LOOK_S
        self.reload()

    def reload(self) -> None:
        """Read the file again now.

        Raises:
            InvalidSettings: it cannot be used; the keys of before stay.
        """
        if self._path is None:
            return
        self._seen = _state(self._path)
        self._keys = [(bytes.fromhex(key.sha256), key) for key in read(self._path)]

    def check(self, request: HTTPServerRequest, scope: Scope) -> ApiKey:
        """Return the key that a call came with.

        Args:
            request: the call.
            scope: what the key must be for.

        Raises:
            Unauthenticated: there is none that counts; one and the same answer whatever is wrong.
            Forbidden: it is not for this.
        """
        self._look()
        found = self._find(_given(request))
        if found is None:
            raise Unauthenticated(_REFUSAL)
        if not found.may(scope):
            raise Forbidden(f"the key '{found.name}' is not for this: it lacks the scope '{scope}'")
        return found

    def _find(self, key: str) -> ApiKey | None:
        """Compare with every key, each in constant time, whichever it is and whether it is one."""
        digest = digest_of(key)
        found = None
        for known, entry in self._keys:
            if hmac.compare_digest(digest, known):
                found = entry
        if found is None or _KEY.fullmatch(key) is None:
            return None
        return None if _over(found, self._now()) else found

    def _look(self) -> None:
        now = self._clock()
        if now < self._look_at or self._path is None:
            return
        self._look_at = now + _LOOK_S
        state = _state(self._path)
        if state == self._seen:
            return
        try:
            self.reload()
        except InvalidSettings as exc:
            self._counts.failed("apikeys")
            _log.error("keys could not be read again; those of before stay", error=str(exc))
        else:
            _log.info("keys read again", file=str(self._path), keys=len(self._keys))


def _given(request: HTTPServerRequest) -> str:
    """Return the key of a call; "" without one. It never counts in an address, which is logged."""
    try:
        bearer = bearer_of(request)
    except Unauthenticated:  # several, or what is no token
        return ""
    return "" if bearer is None or bearer.place is Place.QUERY else bearer.token


def _over(key: ApiKey, now: float) -> bool:
    return key.expires is not None and key.expires.timestamp() <= now


def _state(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file does; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
