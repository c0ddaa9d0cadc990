"""The sections about who may connect and call."""

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from router.settings.section import Seconds, Section, is_loopback, normal_origin

Algorithm = Literal[
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]
Pattern = Annotated[str, Field(min_length=1, max_length=256)]
# A shorter secret can be guessed from one token, without asking anybody (RFC 7518 section 3.2).
SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_NO_SECRET: Final = SecretStr("")


def _origin(text: str) -> str:
    if normal_origin(text) is None:
        raise ValueError(f"is '{text}', no origin of a page: write it like https://example.com")
    return text


class AuthSettings(Section):
    """Who may connect and call."""

    mode: Literal["dev", "jwt", "application"] = "dev"
    algorithms: tuple[Algorithm, ...] = ("HS256",)
    secret: SecretStr = _NO_SECRET
    secret_file: str = ""
    previous_secrets: Annotated[tuple[SecretStr, ...], Field(max_length=8)] = ()
    key_file: str = ""
    jwks_file: str = ""
    jwks_url: str = ""
    jwks_refresh_s: Seconds = 300.0
    jwks_keep_s: Seconds = 86_400.0
    audience: str = ""
    issuer: str = ""
    leeway_s: Annotated[float, Field(ge=0, le=300)] = 10.0
    query_token_s: Annotated[float, Field(ge=0)] = 300.0
    can: tuple[Literal["send", "durable"], ...] = ("send", "durable")
    to: Annotated[tuple[Pattern, ...], Field(max_length=100)] = ("*",)
    origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()

    @property
    def shares_secret(self) -> bool:
        """Say whether whoever can check a token can also sign one."""
        return self.algorithms[0] in SECRET_BYTES

    @property
    def secret_bytes(self) -> int:
        """Return how long a secret must be at least."""
        return max(SECRET_BYTES.get(name, 0) for name in self.algorithms)

    @model_validator(mode="after")
    def _tokens_can_be_checked(self) -> "AuthSettings":
        if self.mode == "jwt":
            self._check_family()
            if self.shares_secret:
                self._check_secrets()
            else:
                self._check_keys()
        return self

    def _check_family(self) -> None:
        if not self.algorithms:
            raise ValueError('auth.algorithms is empty: name how tokens are signed, as ["HS256"]')
        if len({name in SECRET_BYTES for name in self.algorithms}) > 1:
            raise ValueError(
                f"auth.algorithms ({', '.join(self.algorithms)}) mixes secrets with public keys, "
                "and then a token could be signed with a key that everybody knows: "
                "name either HS* or others"
            )

    def _check_secrets(self) -> None:
        keys = self._named("key_file", "jwks_file", "jwks_url")
        if keys:
            raise ValueError(
                f"auth.{keys[0]} holds public keys, and auth.algorithms are of secrets: remove "
                "it, or name RS256, ES256 or EdDSA"
            )
        if bool(self.secret.get_secret_value()) == bool(self.secret_file):
            raise ValueError(
                f'auth.mode = "jwt" with {self.algorithms[0]} needs either auth.secret_file or '
                "SWITCHBOARD_AUTH__SECRET: set one of the two"
            )
        for secret in (self.secret, *self.previous_secrets):
            given = len(secret.get_secret_value().encode())
            if secret is not _NO_SECRET and 0 < given < self.secret_bytes:
                raise ValueError(f"auth.secret {too_short(given, self.secret_bytes)}")

    def _check_keys(self) -> None:
        secrets = self._named("secret_file", "previous_secrets")
        if self.secret.get_secret_value() or secrets:
            raise ValueError(
                f"auth.{(secrets or ['secret'])[0]} is of no use to {self.algorithms[0]}, which "
                "checks tokens with public keys: remove it"
            )
        sources = self._named("key_file", "jwks_file", "jwks_url")
        if len(sources) != 1:
            raise ValueError(
                f'auth.mode = "jwt" with {self.algorithms[0]} needs exactly one of auth.key_file, '
                f"auth.jwks_file and auth.jwks_url, not {' and '.join(sources) or 'none'}"
            )
        if self.jwks_url:
            _check_url(self.jwks_url)
        if self.jwks_keep_s < self.jwks_refresh_s:
            raise ValueError(
                f"auth.jwks_keep_s ({self.jwks_keep_s:g}) must be at least auth.jwks_refresh_s "
                f"({self.jwks_refresh_s:g}), or the keys end before they are fetched again"
            )

    def _named(self, *names: str) -> list[str]:
        return [name for name in names if getattr(self, name)]


def too_short(given_bytes: int, wanted_bytes: int) -> str:
    """Return what to say of a secret that can be guessed."""
    return (
        f"has {given_bytes} bytes and needs at least {wanted_bytes}: make one with "
        f"`openssl rand -base64 {wanted_bytes}`"
    )


def _check_url(url: str) -> None:
    """Refuse an address from which anybody on the way could hand us their keys."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.scheme not in {"https", "http"}:
        raise ValueError("auth.jwks_url is no address like https://example.com/jwks.json")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            "auth.jwks_url must be https://, or anybody on the way could hand this node keys of "
            "their own; http:// is only for this machine"
        )
    if parts.username is not None:
        raise ValueError("auth.jwks_url holds a password, which would be logged: remove it")
