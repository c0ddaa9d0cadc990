"""`auth.mode = "jwt"`: a signed token says who somebody is (RFC 7519, RFC 8725)."""

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, cast

import jwt
from tornado.httputil import HTTPServerRequest

from node.auth import keys
from node.auth.bearer import Place, bearer_of
from node.auth.claims import Rules, identity_of, recipients_of, rights_of
from node.auth.gate import AllowsOrigin, Authorize, KeyedGate
from node.auth.jwks import JwksUrl
from node.auth.keys import KeyRing
from node.identity import Identity
from router.counts import Counts
from router.errors import InvalidSettings, Unauthenticated
from router.settings import AuthSettings

MAX_TOKEN_CHARACTERS: Final = 4_096
_HOW: Final = (
    "no token: send one in the header Authorization, as the subprotocol "
    "'switchboard.bearer.<token>', or as 'token' in the query"
)
_jws: Final = jwt.PyJWS()


class _Keys(Protocol):
    """Where the keys come from."""

    @property
    def ring(self) -> KeyRing:
        """Return the keys that count now."""

    @property
    def trouble(self) -> str | None:
        """Say why no token can be checked; None when they can."""

    async def look_again(self) -> None:
        """A token names a key that is not there."""


class _FixedKeys:
    """Keys that were read once."""

    trouble = None

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring

    async def look_again(self) -> None:
        """Find nothing new."""


class TokenGate(KeyedGate):
    """The gate of `auth.mode = "jwt"`; see `Gate`.

    Args:
        settings: of it.
        authorize: lets calls of the API pass.
        allows_origin: says which pages may connect.
        counts: of the process.

    Raises:
        InvalidSettings: there are no keys where the settings say.
    """

    renews = True

    def __init__(
        self,
        settings: AuthSettings,
        authorize: Authorize,
        allows_origin: AllowsOrigin,
        counts: Counts,
    ) -> None:
        super().__init__(authorize, allows_origin)
        self._settings = settings
        self._rules = rules_of(settings)
        self._keys: _Keys
        if settings.jwks_url:
            self._keys = url = _jwks_url(settings, counts)
            self.refresher: Callable[[], Awaitable[None]] | None = url.run
        else:
            self._keys = _FixedKeys(read_keys(settings))

    async def identify(self, request: HTTPServerRequest) -> Identity:
        """Take the user id from the token of a handshake; see `Gate.identify`."""
        bearer = bearer_of(request)
        if bearer is None:
            raise Unauthenticated(_HOW)
        identity = await self.renew(bearer.token)
        left_s = identity.expires_at - time.time()
        longest_s = self._settings.query_token_s
        if bearer.place is Place.QUERY and left_s > longest_s:
            raise Unauthenticated(
                f"token: one that counts for {left_s:.0f} s more may not stand in the query, which "
                f"others write down; at most {longest_s:g} s may be left (auth.query_token_s)"
            )
        return identity

    async def renew(self, token: str) -> Identity:
        """See `Gate.renew`."""
        algorithm, kid = named_key(token)
        named = kid is not None and algorithm in self._settings.algorithms
        if named and not self._keys.ring.candidates(algorithm, kid):
            await self._keys.look_again()
        payload = payload_of(token, self._keys.ring, self._settings.algorithms)
        return identity_of(payload, self._rules, time.time())

    def not_ready(self) -> str | None:
        """See `Gate.not_ready`."""
        return self._keys.trouble

    def reload(self, settings: AuthSettings) -> None:
        """See `Gate.reload`; another source of keys takes a new start of the node."""
        if not (settings.jwks_url or self._settings.jwks_url):
            self._keys = _FixedKeys(read_keys(settings))
        self._rules = rules_of(settings)
        self._settings = settings


def named_key(token: str) -> tuple[str, str | None]:
    """Return what the header of a token says of its key: `alg` and `kid`.

    That is looked up among our own keys and nothing else: `jku`, `x5u` and `jwk`, by which a token
    could bring its own, are never read.

    Raises:
        Unauthenticated: it is no token that could count here.
    """
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise Unauthenticated(f"token: it has more than {MAX_TOKEN_CHARACTERS} characters")
    try:
        header = _jws.get_unverified_header(token.encode("ascii"))
    except (jwt.PyJWTError, UnicodeEncodeError) as exc:
        raise Unauthenticated("token: it is no JWT") from exc
    if "crit" in header or "b64" in header:
        raise Unauthenticated("token: it asks for extensions (crit) that nobody here knows")
    return str(header.get("alg")), header.get("kid")


def payload_of(token: str, ring: KeyRing, algorithms: Sequence[str]) -> bytes:
    """Return the payload of a token whose signature is good.

    Args:
        token: whose header `named_key` has seen.
        ring: the keys.
        algorithms: that may be used, whatever the token says.

    Raises:
        Unauthenticated: it was not signed by one of the keys.
    """
    algorithm, kid = named_key(token)
    if algorithm not in algorithms:
        raise Unauthenticated("token: it is not signed as auth.algorithms says")
    candidates = ring.candidates(algorithm, kid)
    for key in candidates:
        try:
            return cast(bytes, _jws.decode(token, key.material, algorithms=list(key.algorithms)))
        except jwt.PyJWTError:
            continue
    known = "its signature is wrong" if candidates else "it is signed by a key nobody knows here"
    raise Unauthenticated(f"token: {known}")


def read_keys(settings: AuthSettings) -> KeyRing:
    """Return the keys that lie in the settings, or in the file that they name.

    Raises:
        InvalidSettings: there are none.
    """
    algorithms = settings.algorithms
    name = next((n for n in ("secret_file", "key_file", "jwks_file") if getattr(settings, n)), "")
    try:
        text = Path(getattr(settings, name)).read_bytes() if name else b""
        if name == "key_file":
            return keys.from_pem(text, algorithms)
        if name == "jwks_file":
            return keys.from_jwks(text, algorithms)
        return keys.from_secrets(secrets_of(settings, text), algorithms)
    except OSError as exc:
        raise InvalidSettings([f"auth.{name}: {exc.strerror}: {getattr(settings, name)}"]) from exc
    except ValueError as exc:
        raise InvalidSettings([f"auth.{name or 'secret'} {exc}"]) from exc


def secrets_of(settings: AuthSettings, text: bytes) -> list[str]:
    """Return the live secrets; with the first one new tokens are signed.

    Args:
        settings: name them, or the file.
        text: what the file holds, one a line; b"" without one.

    Raises:
        ValueError: the file is not UTF-8.
    """
    try:
        lines = [line.strip() for line in text.decode().splitlines()]
    except UnicodeDecodeError:
        raise ValueError("is not text: write the secret in base64, in one line") from None
    given = (settings.secret, *settings.previous_secrets)
    listed = [secret.get_secret_value() for secret in given]
    return [secret for secret in (*lines, *listed) if secret]


def rules_of(settings: AuthSettings) -> Rules:
    """Return what these settings ask of a token, and give to one that does not say."""
    return Rules(
        settings.audience,
        settings.issuer,
        settings.leeway_s,
        rights_of(settings.can),
        recipients_of(settings.to),
    )


def _jwks_url(settings: AuthSettings, counts: Counts) -> JwksUrl:
    return JwksUrl(
        settings.jwks_url,
        lambda document: keys.from_jwks(document, settings.algorithms),
        refresh_s=settings.jwks_refresh_s,
        keep_s=settings.jwks_keep_s,
        counts=counts,
    )
