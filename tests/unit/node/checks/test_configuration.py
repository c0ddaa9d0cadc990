"""Settings that are valid, and still not what anybody wants."""

from pathlib import Path
from typing import Any

import pytest

from node.checks import configuration
from node.checks.finding import Level
from router.settings import Settings
from tests.support.findings import level_of

STRONG = "3f9b1c0d7e6a5842f0b9d8c7e6a51423"


def settings(**sections: dict[str, Any]) -> Settings:
    return Settings.model_validate(sections)


def with_secret(secret: str, **more: Any) -> Settings:
    return settings(auth={"mode": "jwt", "secret": secret, **more})


class TestEnvironment:
    def test_what_looks_like_a_setting_and_is_none_is_told_with_what_was_meant(self) -> None:
        names = ["SWITCHBOARD_REDIS_URL", "SWITCHBOARD_NODE__PORT", "PATH", "SWITCHBOARD_X"]
        found = list(configuration.environment(names, settings()))
        assert [finding.says.split()[0] for finding in found] == [
            "SWITCHBOARD_REDIS_URL",
            "SWITCHBOARD_X",
        ]
        assert found[0].mend == "did you mean SWITCHBOARD_REDIS__URL?"
        assert {finding.level for finding in found} == {Level.WARN}

    def test_settings_are_well_whatever_their_case(self) -> None:
        names = ["SWITCHBOARD_NODE__PORT", "switchboard_node__name"]
        assert level_of(configuration.environment(names, settings()), "environment") is Level.OK


class TestExposure:
    def test_dev_mode_is_worth_a_word(self) -> None:
        assert level_of(configuration.exposure(settings()), "who may connect") is Level.WARN
        known = with_secret(STRONG)
        assert level_of(configuration.exposure(known), "who may connect") is Level.OK

    def test_a_node_on_the_network_needs_tls_or_a_proxy(self) -> None:
        for more, level in (({}, Level.WARN), ({"trusted_proxies": ["10.0.0.7"]}, None)):
            auth = {"mode": "jwt", "secret": STRONG}
            found = list(
                configuration.exposure(settings(auth=auth, node={"host": "0.0.0.0", **more}))
            )
            assert next((f.level for f in found if f.check == "tls"), None) is level

    @pytest.mark.parametrize(
        ("url", "level"),
        [
            ("redis://127.0.0.1:6379", Level.OK),
            ("unix:///run/store", Level.OK),
            ("redis://db.example.org", Level.FAIL),
            ("redis://u:short@db.example.org", Level.FAIL),
            (f"redis://u:{STRONG}@db.example.org", Level.WARN),
            (f"rediss://u:{STRONG}@db.example.org", Level.OK),
        ],
    )
    def test_a_store_on_the_network_needs_a_password_and_tls(self, url: str, level: Level) -> None:
        found = list(configuration.exposure(settings(redis={"url": url})))
        assert level_of(found, "redis.url") is level
        assert STRONG not in repr(found)

    def test_so_does_a_broker(self) -> None:
        mode = {"mode": "fanout", "amqp_url": "amqp://guest:guest@mq.example.org/"}
        found = configuration.exposure(settings(delivery=mode))
        assert level_of(found, "delivery.amqp_url") is Level.FAIL


class TestSecrets:
    @pytest.mark.parametrize(
        "secret",
        ["a" * 40, "changeme-changeme-changeme-changeme!", "My-Password-is-very-long-and-0k-1942"],
    )
    def test_one_that_can_be_guessed_fails(self, secret: str) -> None:
        found = list(configuration.secrets(with_secret(secret)))
        assert level_of(found, "auth.secret") is Level.FAIL
        assert secret not in repr(found)

    def test_one_in_a_file_is_looked_at_too(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text("b" * 40 + "\n")
        weak = settings(auth={"mode": "jwt", "secret_file": str(file)})
        assert level_of(configuration.secrets(weak), "auth.secret") is Level.FAIL
        file.write_text(STRONG + "\n")
        assert level_of(configuration.secrets(weak), "auth.secret") is Level.OK

    def test_without_secrets_nothing_is_said(self) -> None:
        assert list(configuration.secrets(settings())) == []


class TestFiles:
    def test_a_file_that_is_not_there_fails(self, tmp_path: Path) -> None:
        missing = settings(auth={"mode": "jwt", "secret_file": str(tmp_path / "none")})
        assert level_of(configuration.files(missing, None), "auth.secret_file") is Level.FAIL
        assert list(configuration.secrets(missing)) == []

    def test_a_file_of_keys_that_is_not_there_names_what_makes_it(self, tmp_path: Path) -> None:
        missing = settings(api={"keys_file": str(tmp_path / "none")})
        [found] = configuration.files(missing, None)
        assert found.mend.startswith("`switchboard key NAME ")

    def test_a_secret_that_others_can_read_fails(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text(STRONG)
        wanted = settings(auth={"mode": "jwt", "secret_file": str(file)})
        for mode, level in ((0o644, Level.FAIL), (0o640, Level.FAIL), (0o600, Level.OK)):
            file.chmod(mode)
            found = list(configuration.files(wanted, None))
            assert level_of(found, "auth.secret_file") is level
        file.chmod(0o644)
        assert next(configuration.files(wanted, None)).mend == f"chmod 600 {file}"

    def test_a_file_that_anybody_can_change_fails(self, tmp_path: Path) -> None:
        file = tmp_path / "ca.pem"
        file.write_text("")
        wanted = settings(redis={"url": "rediss://localhost", "ca_file": str(file)})
        for mode, level in ((0o666, Level.FAIL), (0o644, Level.OK)):
            file.chmod(mode)
            [found] = configuration.files(wanted, None)
            assert (found.check, found.level) == ("redis.ca_file", level)
        assert found.says == f"{file} cannot be changed by others (mode 644)"

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ('[redis]\nurl = "redis://u:pw@h"\n', True),
            ('[auth]\nsecret = "x"\n', True),
            ('[delivery]\namqp_url = "amqp://guest:guest@h"\n', False),
            ('[redis]\n# url = "redis://u:pw@h"\nurl = "redis://h"\n', False),
        ],
    )
    def test_a_config_file_with_a_secret_is_for_its_owner(
        self, tmp_path: Path, text: str, says: bool
    ) -> None:
        file = tmp_path / "config.toml"
        file.write_text(text)
        file.chmod(0o644)
        found = list(configuration.files(settings(), file))
        assert bool(found) is says
        if says:
            assert level_of(found, "config.toml") is Level.FAIL


def test_all_of_it_is_looked_at() -> None:
    checks = {each.check for each in configuration.everything(with_secret(STRONG), None, {})}
    assert checks == {"settings", "environment", "who may connect", "auth.secret"}
