"""Certificates that end, have ended, or do not belong to their key."""

from pathlib import Path

import pytest

from node.checks import certificates
from node.checks.finding import Level
from tests.support.certificates import Authority
from tests.support.findings import level_of


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize(
    ("days", "begun", "level"),
    [
        (90, 1, Level.OK),
        (5, 1, Level.WARN),
        (-1, 30, Level.FAIL),
        (90, -2, Level.FAIL),
    ],
)
def test_its_dates_are_looked_at(authority: Authority, days: int, begun: int, level: Level) -> None:
    pair = authority.issue(f"c{days}{begun}", "localhost", days=days, begun=begun)
    files = [("tls.certificate_file", pair.certificate), ("tls.key_file", pair.key)]
    found = list(certificates.everything(files))
    assert level_of(found, "tls.certificate_file") is level
    assert level_of(found, "tls.key_file") is Level.OK


def test_another_key_fails(authority: Authority) -> None:
    one, other = authority.issue("one", "a"), authority.issue("other", "b")
    files = [("tls.certificate_file", one.certificate), ("tls.key_file", other.key)]
    assert level_of(certificates.everything(files), "tls.key_file") is Level.FAIL


def test_what_is_no_certificate_fails(tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    file.write_text("hello")
    assert (
        level_of(certificates.everything([("redis.ca_file", file)]), "redis.ca_file") is Level.FAIL
    )


def test_of_a_file_that_is_not_there_others_speak(tmp_path: Path) -> None:
    assert list(certificates.everything([("redis.ca_file", tmp_path / "none")])) == []
