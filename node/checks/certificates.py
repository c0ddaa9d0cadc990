"""Certificates that end, have ended, or do not belong to their key."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from node.checks.finding import Finding, fail, ok, warn

_SOON: Final = timedelta(days=14)
_RENEW: Final = "renew it"


def dates(name: str, path: Path, now: datetime) -> Iterator[Finding]:
    """Find certificates in a file that are not valid, or soon will not be.

    Args:
        name: of the setting.
        path: of the file, PEM.
        now: with its time zone.
    """
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError:
        return  # `configuration.files` says why
    except ValueError:
        yield fail(name, f"{path} holds no certificate", "name a PEM file")
        return
    ends = min(each.not_valid_after_utc for each in certificates)
    begins = max(each.not_valid_before_utc for each in certificates)
    if ends <= now:
        yield fail(name, f"a certificate has ended on {ends:%Y-%m-%d}", _RENEW)
    elif begins > now:
        mend = "wait, or look at this machine's clock"
        yield fail(name, f"a certificate begins only on {begins:%Y-%m-%d %H:%M} UTC", mend)
    elif ends - now < _SOON:
        days = (ends - now).days
        yield warn(name, f"a certificate ends in {days} days, on {ends:%Y-%m-%d}", _RENEW)
    else:
        yield ok(name, f"valid until {ends:%Y-%m-%d}")


def pair(name: str, certificate: Path, key: Path) -> Iterator[Finding]:
    """Find a key that is not the certificate's."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, lambda: "")
    except OSError as exc:  # ssl.SSLError is one
        reason = getattr(exc, "reason", None) or exc.strerror
        yield fail(name, f"certificate and key do not go together: {reason}", "name both of one")
    else:
        yield ok(name, "it is the certificate's key")


def everything(files: list[tuple[str, Path]], now: datetime | None = None) -> Iterator[Finding]:
    """Look at each certificate that settings name.

    Args:
        files: of `configuration.named_files`.
        now: with its time zone; None for what the clock says.
    """
    named = dict(files)
    for name, path in files:
        section, _, key = name.partition(".")
        if key in ("certificate_file", "ca_file"):
            yield from dates(name, path, now or datetime.now(UTC))
        its_key = named.get(f"{section}.key_file")
        if key == "certificate_file" and its_key is not None:
            yield from pair(f"{section}.key_file", path, its_key)
