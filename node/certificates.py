"""The certificate that a node's servers show, loaded again when its files change."""

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Final

import structlog
from tornado.httpserver import HTTPServer

from router.errors import ServerFailed
from router.service import Services
from router.settings import TlsSettings

_LOOK_S: Final = 5.0
_Stamp = tuple[tuple[int, int, int] | None, ...]
_log = structlog.get_logger()


class Certificates:
    """Keeps the certificate of some servers fresh.

    A new one counts for the handshakes that come after it; open connections go on. It is loaded
    when its files have changed and have stayed as they are for one look, so that a certificate and
    its key may be replaced one after the other; or at once by `reload`.

    Args:
        settings: which files.
        services: gets the loop that looks at them.

    Raises:
        ServerFailed: they cannot be used; in one sentence.
    """

    def __init__(self, settings: TlsSettings, services: Services) -> None:
        self._settings = settings
        self._servers: list[HTTPServer] = []
        self._seen = self._tried = self._stamp()
        self._context = server_context(settings)
        self._watching = services.add("certificate", self._watch_forever)

    @property
    def context(self) -> ssl.SSLContext:
        """Return what a server that is made now has to show."""
        return self._context

    def serve(self, server: HTTPServer) -> None:
        """Keep a server, made with `context`, up to date."""
        self._servers.append(server)

    def start(self) -> None:
        """Begin to look at the files."""
        self._watching.start()

    async def stop(self) -> None:
        """Look no more. Idempotent."""
        await self._watching.stop()

    def reload(self) -> bool:
        """Load the files now; return whether that went well. If not, the old certificate stays."""
        self._tried = self._stamp()
        try:
            self._context = server_context(self._settings)
        except ServerFailed as exc:
            _log.warning("the certificate was not loaded again, the old one stays", why=str(exc))
            return False
        for server in self._servers:
            server.ssl_options = self._context
        _log.info("the certificate was loaded again", file=self._settings.certificate_file)
        return True

    async def _watch_forever(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look()

    def look(self) -> None:
        """Load the files if they have changed, and not since the last look."""
        seen, self._seen = self._seen, self._stamp()
        if self._seen == seen and self._seen != self._tried:
            self.reload()

    def _stamp(self) -> _Stamp:
        files = (self._settings.certificate_file, self._settings.key_file)
        return tuple(_stamp_of(Path(file)) for file in files if file)


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is replaced; None if it is away."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return the TLS of a server: 1.2 or newer, with the ciphers that Python thinks well of.

    Raises:
        ServerFailed: the files cannot be used.

    Source: https://docs.python.org/3/library/ssl.html#ssl.create_default_context
    """
    for name in ("certificate_file", "key_file"):
        _check_readable(f"tls.{name}", getattr(settings, name))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    key = settings.key_file or settings.certificate_file
    try:
        # A key with a password would be asked for it on the terminal.
        context.load_cert_chain(settings.certificate_file, key, lambda: "")
    except (ssl.SSLError, OSError, ValueError) as exc:
        raise ServerFailed(
            f"tls.certificate_file '{settings.certificate_file}' and its key '{key}' cannot be "
            f"used: {_reason(exc)}; give a certificate and its own key, both as PEM, the key "
            "without a password"
        ) from exc
    return context


def _check_readable(name: str, file: str) -> None:
    if not file:
        return
    try:
        with Path(file).open("rb"):
            pass
    except OSError as exc:
        raise ServerFailed(f"{name}: '{file}' cannot be read: {exc.strerror}") from exc


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return "the key is another certificate's"
    return "they are not what they should be"


def peer_context(settings: TlsSettings) -> ssl.SSLContext | None:
    """Return how to talk to other nodes of the cluster; None where nodes have no TLS.

    Whoever shows a certificate of a known CA, or the one that this node shows too, is believed.
    Names are not compared: nodes know each other by address.
    """
    if not settings.certificate_file:
        return None
    context = ssl.create_default_context()
    context.check_hostname = False
    with contextlib.suppress(OSError):  # it is just being replaced; ssl.SSLError is one, too
        context.load_verify_locations(cafile=settings.certificate_file)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
