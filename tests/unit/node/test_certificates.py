"""A certificate is loaded again when its files change, and a bad one changes nothing."""

import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tornado.httpserver import HTTPServer
from tornado.web import Application

from node.certificates import Certificates, peer_context, server_context
from router.errors import ServerFailed
from router.service import Services
from router.settings import Settings, TlsSettings
from tests.support.certificates import Authority, Pair
from tests.support.logs import Logs


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def files(ca: Authority, tmp_path: Path) -> Pair:
    """A pair in use, that a test may replace."""
    made = ca.issue("first", "localhost")
    pair = Pair(tmp_path / "node.crt", tmp_path / "node.key")
    put(made, pair)
    return pair


def put(made: Pair, place: Pair) -> None:
    shutil.copy(made.certificate, place.certificate)
    shutil.copy(made.key, place.key)


def settings_of(pair: Pair) -> TlsSettings:
    return TlsSettings(certificate_file=str(pair.certificate), key_file=str(pair.key))


@pytest.fixture
async def shown(files: Pair) -> AsyncIterator[tuple[Certificates, HTTPServer]]:
    certificates = Certificates(settings_of(files), Services())
    server = HTTPServer(Application(), ssl_options=certificates.context)
    certificates.serve(server)
    yield certificates, server
    await certificates.stop()


Shown = tuple[Certificates, HTTPServer]


def test_only_tls_1_2_and_newer_is_spoken(files: Pair) -> None:
    context = server_context(settings_of(files))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE  # clients show no certificate


def test_a_key_may_stand_in_the_same_file(files: Pair) -> None:
    both = files.certificate.parent / "both.pem"
    both.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())
    server_context(TlsSettings(certificate_file=str(both)))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("away", "tls.key_file: '.*' cannot be read: No such file or directory"),
        ("other key", "cannot be used: the key is another certificate's; give a certificate"),
        ("no pem", "cannot be used: they are not what they should be; give a certificate"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(
    ca: Authority, files: Pair, damage: str, sentence: str
) -> None:
    if damage == "away":
        files.key.unlink()
    elif damage == "other key":
        shutil.copy(ca.issue("other", "localhost").key, files.key)
    else:
        files.certificate.write_text("not PEM")
    with pytest.raises(ServerFailed, match=sentence):
        server_context(settings_of(files))


def test_a_key_without_a_certificate_stops_the_start() -> None:
    with pytest.raises(ValueError, match=r"key_file is set without tls.certificate_file: set both"):
        Settings.model_validate({"tls": {"key_file": "x.key"}})


async def test_a_new_pair_is_shown_after_it_was_told(
    ca: Authority, files: Pair, shown: Shown
) -> None:
    certificates, server = shown
    was = server.ssl_options
    put(ca.issue("second", "localhost"), files)
    assert certificates.reload()
    assert server.ssl_options is certificates.context
    assert server.ssl_options is not was


async def test_a_pair_that_does_not_fit_changes_nothing_and_is_told(
    ca: Authority, files: Pair, shown: Shown, logs: Logs
) -> None:
    certificates, server = shown
    was = server.ssl_options
    shutil.copy(ca.issue("third", "localhost").key, files.key)
    assert not certificates.reload()
    assert server.ssl_options is was
    [entry] = logs.events("the certificate was not loaded again, the old one stays")
    assert "the key is another certificate's" in entry["why"]


async def test_files_that_stay_as_they_are_are_not_loaded(shown: Shown) -> None:
    certificates, server = shown
    was = server.ssl_options
    for _ in range(3):
        certificates.look()
    assert server.ssl_options is was


async def test_changed_files_are_loaded_once_they_have_settled(
    ca: Authority, files: Pair, shown: Shown, logs: Logs
) -> None:
    certificates, server = shown
    was = server.ssl_options
    second = ca.issue("fourth", "localhost")
    shutil.copy(second.certificate, files.certificate)
    certificates.look()  # sees a certificate whose key is still to come
    shutil.copy(second.key, files.key)
    certificates.look()
    assert server.ssl_options is was
    certificates.look()
    assert server.ssl_options is not was
    assert not logs.events("the certificate was not loaded again, the old one stays")


async def test_files_that_cannot_be_used_are_tried_once_and_again_when_they_change(
    ca: Authority, files: Pair, shown: Shown, logs: Logs
) -> None:
    certificates, server = shown
    was = server.ssl_options
    files.key.unlink()
    for _ in range(4):
        certificates.look()
    assert len(logs.events("the certificate was not loaded again, the old one stays")) == 1
    put(ca.issue("fifth", "localhost"), files)
    for _ in range(2):
        certificates.look()
    assert server.ssl_options is not was


def test_peers_without_tls_need_no_trust() -> None:
    assert peer_context(TlsSettings()) is None


def test_a_peer_is_known_by_the_certificate_that_all_nodes_show(files: Pair) -> None:
    trust = peer_context(settings_of(files))
    assert trust is not None
    assert trust.verify_mode is ssl.CERT_REQUIRED
    assert not trust.check_hostname
