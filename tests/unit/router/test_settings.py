"""Settings: where they come from, what they refuse, and that config.toml tells the truth."""

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from router.errors import InvalidSettings
from router.settings import RedisSettings, Settings, is_loopback, load

_SECRET = "a secret of the tests of 40 characters.."
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where no config.toml lies."""
    monkeypatch.chdir(tmp_path)


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def problems(path: Path | None = None, flags: dict[str, dict[str, Any]] | None = None) -> list[str]:
    with pytest.raises(InvalidSettings) as refusal:
        load(path, flags)
    assert refusal.value.consequence.exit_status == 2
    return refusal.value.problems


class TestConfigFile:
    def test_it_names_exactly_all_settings_with_exactly_the_defaults(self) -> None:
        assert tomllib.loads((ROOT / "config.toml").read_text()) == Settings().model_dump(
            mode="json"
        )

    def test_it_says_of_each_what_it_is_for(self) -> None:
        lines = (ROOT / "config.toml").read_text().splitlines()
        for above, line in itertools.pairwise(lines):
            if re.match(r"[a-z_]+ = ", line):
                assert above.startswith("# "), f"no comment above {line}"

    def test_it_names_the_unit_of_each_number_of_seconds_or_bytes(self) -> None:
        comment = ""
        for line in (ROOT / "config.toml").read_text().splitlines():
            if line.startswith("#"):
                comment += line
            elif match := re.match(r"[a-z_]+_(s|bytes) = ", line):
                assert {"s": "Seconds", "bytes": "Bytes"}[match[1]] in comment, line
                comment = ""
            else:
                comment = ""


class TestSources:
    def test_nothing_at_all_is_the_defaults(self) -> None:
        assert load(None) == Settings()

    def test_a_file_here_is_used_without_being_named(self, tmp_path: Path) -> None:
        (tmp_path / "config.toml").write_text("[node]\nport = 9000\n")
        assert load(None).node.port == 9000

    def test_a_named_file_wins_over_the_one_here(self, tmp_path: Path) -> None:
        (tmp_path / "config.toml").write_text("[node]\nport = 9000\n")
        assert load(written(tmp_path, "[node]\nname = 'x'\n")).node.port == 8001

    def test_the_environment_wins_over_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SWITCHBOARD_NODE__PORT", "9001")
        settings = load(written(tmp_path, "[node]\nport = 9000\nname = 'x'\n"))
        assert (settings.node.port, settings.node.name) == (9001, "x")

    def test_flags_win_over_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SWITCHBOARD_NODE__PORT", "9001")
        monkeypatch.setenv("SWITCHBOARD_NODE__NAME", "x")
        settings = load(None, {"node": {"port": 9002, "name": None}})
        assert (settings.node.port, settings.node.name) == (9002, "x")

    def test_other_variables_that_look_like_ours_are_left_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SWITCHBOARD_HOME", "/opt")
        assert load(None) == Settings()

    def test_a_library_does_not_read_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SWITCHBOARD_NODE__PORT", "9001")
        assert Settings().node.port == 8001

    def test_they_are_frozen(self) -> None:
        with pytest.raises(ValidationError):
            Settings().node.port = 1  # type: ignore[misc]


class TestStores:
    def test_one_server_without_replicas_is_meant_if_nothing_is_said(self) -> None:
        settings = Settings()
        assert (settings.redis.mode, settings.mailbox.min_replicas) == ("single", 0)

    @pytest.mark.parametrize(
        ("mode", "url"),
        [
            ("single", "redis://h"),
            ("single", "redis://:secret@"),
            ("single", "redis://u:p@[::1]:7/3"),
            ("single", "unix://u:p,q@/run/a,b"),
            ("single", "embedded"),
            ("cluster", "redis://a:1"),
            ("cluster", "rediss://u:p,q@a:1,b,10.0.0.1:2/0"),
            ("cluster", "redis://[::1]:7,[fe80::2]/"),
            ("cluster", "embedded"),
            ("sentinel", "redis://u:p@a,b:26380/3"),
            ("sentinel", "embedded"),
        ],
    )
    def test_what_an_address_may_name(self, mode: str, url: str) -> None:
        assert RedisSettings.model_validate({"mode": mode, "url": url}).url == url

    def test_a_password_of_sentinels_is_not_shown(self) -> None:
        settings = RedisSettings.model_validate({"sentinel_password": "hunter2"})
        assert settings.sentinel_password.get_secret_value() == "hunter2"
        assert "hunter2" not in repr(settings)
        assert "hunter2" not in settings.model_dump_json()


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("[node]\nportt = 1", "node.portt: there is no such setting"),
            ("[nodes]\nport = 1", "nodes: there is no such setting"),
            ("[node]\nport = 'high'", "node.port: should be a valid integer"),
            ("[node]\nport = 70000", "node.port: should be less than or equal to 65535"),
            ("[redis]\nurl = 'http://x'", 'redis.url is "embedded" or starts with redis://'),
            (
                "[redis]\nurl = 'rediss://h?ssl_cert_reqs=none'",
                "redis.url has an option that begins with ssl_: set redis.ca_file",
            ),
            ("[redis]\nurl = 'redis://h:1:2'", "redis.url names a server as host:port, several"),
            ("[redis]\nurl = 'redis://a:1,b:x'\nmode = 'cluster'", "redis.url names a server"),
            (
                "[redis]\nurl = 'redis://a:1,b:2'",
                'redis.url names several servers, and redis.mode = "single" takes one: name one',
            ),
            (
                "[redis]\nurl = 'unix:///s'\nmode = 'cluster'",
                'redis.mode = "cluster" needs redis:// or rediss:// in redis.url: name a server',
            ),
            (
                "[redis]\nurl = 'unix:///s'\nmode = 'sentinel'",
                'redis.mode = "sentinel" needs redis:// or rediss:// in redis.url: name a server',
            ),
            (
                "[redis]\nurl = 'redis://a:1,b:2/3'\nmode = 'cluster'",
                "redis.url names a database, and a Cluster has only number 0: leave it out",
            ),
            ("[redis]\nmode = 'many'", "redis.mode: should be 'single', 'sentinel' or 'cluster'"),
            ("[mailbox]\nmin_replicas = -1", "mailbox.min_replicas: should be greater than or"),
            ("[mailbox]\nmin_replicas = 17", "mailbox.min_replicas: should be less than or"),
            ("[redis]\nkey_file = 'k'", "redis.key_file is set without redis.certificate_file"),
            (
                "[redis]\nurl = 'redis://h'\nca_file = 'ca.pem'",
                "redis.url asks for none: begin it with rediss://",
            ),
            ("[redis]\nenvelope_keys = ['short-secret']", "redis.envelope_keys.0: should be"),
            ("[redis]\nenvelope_keys = 'one-secret'", "redis.envelope_keys: should be"),
            (
                f"[redis]\nenvelope_keys = ['{'k' * 32}-secret']\nenvelope_keys_file = 'f'",
                "redis.envelope_keys and redis.envelope_keys_file are both set",
            ),
            (
                "[redis]\nenvelope_keys_file = 'f'\n[delivery]\nmode = 'channel'",
                'redis.envelope_keys seals inboxes, and delivery.mode = "channel" has none',
            ),
            ("[redis]\nappend_fsync = 'maybe'", "redis.append_fsync: should be 'always'"),
            (
                "[inbox]\nmax_bytes = 5_000_000\n[node]\nmax_message_bytes = 2_000_000",
                "inbox.max_bytes (5000000) must be at least 4 x node.max_message_bytes (2000000)",
            ),
            ("[lease]\nttl_s = 5.0", "lease.ttl_s (5) must be above 2 x lease.heartbeat_s (2.5)"),
            ("[node]\nhost = '0.0.0.0'", 'auth.mode = "dev" lets anybody be anyone'),
            ("[node]\nreuse_port = true", "node.reuse_port is set: name the port that is shared"),
            (
                "[node]\nreuse_port = true\nport = 0\n[api]\nport = 9001",
                "and in api.port another one for each node",
            ),
            ("[node]\nname = 'a b'", "node.name"),
            ("[node]\ntrusted_proxies = ['proxy']", "trusted_proxies.0 is 'proxy', no address"),
        ],
    )
    def test_a_bad_value_is_one_sentence(self, tmp_path: Path, text: str, sentence: str) -> None:
        (problem,) = problems(written(tmp_path, text))
        assert sentence in problem
        assert "\n" not in problem
        assert "-secret" not in problem

    @pytest.mark.parametrize(
        ("auth", "sentence"),
        [
            ("", 'auth.mode = "jwt" with HS256 needs either auth.secret_file or'),
            ("secret = 'short'", "auth.secret has 5 bytes and needs at least 32: make one"),
            (f"secret = '{_SECRET}'\nprevious_secrets = ['x']", "auth.secret has 1 bytes"),
            (f"secret = '{_SECRET}'\nsecret_file = 'x'", "needs either auth.secret_file or"),
            (f"secret = '{_SECRET}'\nkey_file = 'x'", "auth.key_file holds public keys, and"),
            (f"secret = '{_SECRET}'\njwks_url = 'https://x/'", "auth.jwks_url holds public"),
            ("algorithms = ['HS512']\nsecret = '" + "x" * 40 + "'", "needs at least 64"),
            ("algorithms = []", "auth.algorithms is empty"),
            ("algorithms = ['none']", "auth.algorithms.0: should be 'HS256', 'HS384'"),
            ("algorithms = ['ES256K']", "auth.algorithms.0: should be"),
            (
                f"algorithms = ['HS256', 'RS256']\nsecret = '{_SECRET}'\nkey_file = 'x'",
                "auth.algorithms (HS256, RS256) mixes secrets with public keys",
            ),
            (
                f"algorithms = ['EdDSA', 'HS256']\nsecret = '{_SECRET}'",
                "auth.algorithms (EdDSA, HS256) mixes secrets with public keys",
            ),
            (
                f"algorithms = ['RS256']\nkey_file = 'x'\nsecret = '{_SECRET}'",
                "auth.secret is of no use to RS256",
            ),
            (
                "algorithms = ['RS256']\nkey_file = 'x'\nsecret_file = 'x'",
                "auth.secret_file is of no use to RS256",
            ),
            ("algorithms = ['RS256']", "auth.jwks_file and auth.jwks_url, not none"),
            (
                "algorithms = ['RS256']\nkey_file = 'x'\njwks_url = 'https://x/y'",
                "not key_file and jwks_url",
            ),
            ("algorithms = ['RS256']\njwks_url = 'http://id.example/'", "must be https://"),
            ("algorithms = ['RS256']\njwks_url = 'ftp://id.example/'", "is no address like https"),
            ("algorithms = ['RS256']\njwks_url = 'file:///etc/keys'", "is no address like https"),
            ("algorithms = ['RS256']\njwks_url = 'https://['", "is no address like https"),
            ("algorithms = ['RS256']\njwks_url = 'https://u:p4ss@x/'", "holds a password"),
            (
                "algorithms = ['RS256']\njwks_url = 'https://x/'\njwks_keep_s = 5.0",
                "auth.jwks_keep_s (5) must be at least auth.jwks_refresh_s (300)",
            ),
            (f"secret = '{_SECRET}'\nleeway_s = 301.0", "auth.leeway_s: "),
            (f"secret = '{_SECRET}'\ncan = ['admin']", "auth.can.0: should be 'send' or"),
            (f"secret = '{_SECRET}'\nto = ['']", "auth.to.0: "),
            ("secret = 12345678", "auth.secret: should be a valid string, not what stands there"),
        ],
    )
    def test_tokens_that_cannot_be_checked_stop_the_start(
        self, tmp_path: Path, auth: str, sentence: str
    ) -> None:
        (problem,) = problems(written(tmp_path, f"[auth]\nmode = 'jwt'\n{auth}"))
        assert sentence in problem
        assert "\n" not in problem
        for secret in (_SECRET, "short", "p4ss", "12345678"):
            assert secret not in problem

    def test_every_problem_is_named(self, tmp_path: Path) -> None:
        path = written(tmp_path, "[node]\nport = -1\nx = 1\n[lease]\nttl_s = 0\n[inbox]\nbatch = 0")
        assert len(problems(path)) == 4

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        (problem,) = problems(tmp_path / "none.toml")
        assert "none.toml: No such file or directory" in problem

    @pytest.mark.parametrize("content", [b"[node", b"\xff\xfe"])
    def test_a_file_that_is_not_toml_is_named(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "settings.toml"
        path.write_bytes(content)
        (problem,) = problems(path)
        assert "not valid TOML" in problem

    def test_a_section_that_is_a_value_is_one_sentence(self, tmp_path: Path) -> None:
        (problem,) = problems(written(tmp_path, "node = 5"))
        assert problem.startswith("node")

    def test_a_bad_value_in_the_environment_is_one_sentence(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SWITCHBOARD_NODE__PORT", "high")
        (problem,) = problems()
        assert "node.port" in problem

    def test_a_misspelt_variable_of_a_section_is_one_sentence(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SWITCHBOARD_NODE__PORTT", "1")
        (problem,) = problems()
        assert "node.portt: there is no such setting" in problem


@pytest.mark.parametrize(
    ("host", "home"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.1", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, home: bool) -> None:
    assert is_loopback(host) is home


@pytest.mark.parametrize(
    "auth",
    [
        f"secret = '{_SECRET}'",
        "secret_file = 'x'",
        "algorithms = ['RS256', 'ES256', 'EdDSA']\nkey_file = 'x'",
        "algorithms = ['PS256']\njwks_url = 'http://127.0.0.1:8000/keys'",
    ],
)
def test_with_tokens_a_node_may_listen_anywhere(tmp_path: Path, auth: str) -> None:
    text = f"[node]\nhost = '0.0.0.0'\n[auth]\nmode = 'jwt'\n{auth}"
    assert load(written(tmp_path, text)).node.host == "0.0.0.0"


def test_a_list_in_the_environment_is_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHBOARD_AUTH__ORIGINS", '["https://a.example"]')
    assert list(load(written(tmp_path, "")).auth.origins) == ["https://a.example"]
    monkeypatch.setenv("SWITCHBOARD_AUTH__ORIGINS", "https://a.example")
    with pytest.raises(InvalidSettings, match=r"SWITCHBOARD_AUTH__.* not JSON"):
        load(written(tmp_path, ""))


def test_a_secret_from_the_environment_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWITCHBOARD_AUTH__SECRET", _SECRET)
    settings = load(written(tmp_path, "[auth]\nmode = 'jwt'"))
    assert settings.auth.secret.get_secret_value() == _SECRET
    assert _SECRET not in f"{settings!r} {settings.model_dump_json()}"
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"auth": {"secret": _SECRET}, "node": {"host": "0.0.0.0"}})
    assert _SECRET not in str(caught.value)


def test_relative_key_files_start_at_the_folder_of_the_file_that_was_named(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    path = written(folder, "[auth]\nsecret_file = 'secret'\nkey_file = '/etc/key.pem'")
    auth = load(path).auth
    assert (auth.secret_file, auth.key_file) == (str(folder / "secret"), "/etc/key.pem")
    assert auth.jwks_file == ""


def test_a_relative_path_starts_at_the_folder_of_the_file_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    file = tmp_path / "here" / "switchboard.toml"
    file.write_text('[redis]\ndata_dir = "store"\nca_file = "ca.pem"\n')
    monkeypatch.chdir("/")
    redis = load(file).redis
    assert redis.data_dir == str(tmp_path / "here" / "store")
    assert redis.ca_file == str(tmp_path / "here" / "ca.pem")
    assert redis.certificate_file == ""
