"""TLS to the store: the context from the settings, and what its errors mean.

Sources: https://docs.python.org/3/library/ssl.html, and for the numbers of what is wrong with a
certificate https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/.
"""

import ssl
from typing import Final

from router.errors import InvalidSettings
from router.settings import RedisSettings

_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_OTHER_NAME: Final = frozenset({62, 64})  # host name, IP address
_UNKNOWN_ISSUER: Final = frozenset({7, 18, 19, 20, 21})  # 7: another of the same name
_WRONG_CERTIFICATE: Final = (
    "CERTIFICATE_REQUIRED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNKNOWN_CA",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_HANDSHAKE_FAILURE",
)
PLAIN_THERE: Final = "if it speaks no TLS there, name its TLS port or begin redis.url with redis://"
TLS_THERE: Final = "if it speaks TLS there, begin redis.url with rediss://"


def context(settings: RedisSettings) -> ssl.SSLContext:
    """Return what a connection to `rediss://` needs; made anew for each, so renewed files are used.

    Raises:
        InvalidSettings: a file cannot be used; naming its key.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = settings.check_hostname
    if not settings.ca_file:
        made.load_default_certs()
    else:
        try:
            made.load_verify_locations(cafile=settings.ca_file)
        except OSError as exc:
            raise _unusable("redis.ca_file", settings.ca_file, exc) from exc
    if settings.certificate_file:
        try:
            made.load_cert_chain(
                settings.certificate_file,
                settings.key_file or None,
                password=_no_password,
            )
        except OSError as exc:
            raise _unusable(
                "redis.certificate_file and redis.key_file", settings.certificate_file, exc
            ) from exc
    return made


def _no_password() -> str:
    """Else that of an encrypted key would be asked for on the terminal."""
    return ""


def _unusable(keys: str, path: str, error: OSError) -> InvalidSettings:
    """Return the error of a file that cannot be used."""
    if isinstance(error, ssl.SSLError):
        why = f"not a PEM file that will do ({error.reason or 'empty'})"
    else:
        why = f"{error.strerror}"
    return InvalidSettings([f"{keys}: {path}: {why}; name a file that can be read"])


def reason(error: ssl.SSLError) -> str:
    """Return what an error of TLS means and what mends it, in one sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error)
    words = (error.reason or str(error)).upper()
    if any(word in words for word in _WRONG_CERTIFICATE):
        return (
            "it does not take our certificate: set redis.certificate_file and redis.key_file to "
            "one that it knows"
        )
    if "WRONG_VERSION_NUMBER" in words or "RECORD_LAYER_FAILURE" in words:
        return f"what it says is not TLS; {PLAIN_THERE}"
    return f"no TLS connection comes about ({words})"


def _of_certificate(error: ssl.SSLCertVerificationError) -> str:
    """Return what is wrong with the store's certificate."""
    code = error.verify_code
    if code == _EXPIRED:
        return "its certificate has expired: renew it on the store"
    if code == _NOT_YET_VALID:
        return "its certificate is not valid yet: set the clocks right, or renew it on the store"
    if code in _OTHER_NAME:
        return (
            "its certificate is for another host name: write the name that it has into redis.url, "
            "or set redis.check_hostname = false"
        )
    if code in _UNKNOWN_ISSUER:
        return (
            "its certificate is not from an issuer that we trust: set redis.ca_file to the CA that "
            "signed it"
        )
    return f"its certificate will not do ({error.verify_message})"
