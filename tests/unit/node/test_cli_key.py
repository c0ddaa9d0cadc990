"""`switchboard key`: shown once, and its hash goes where the nodes look."""

import json
from pathlib import Path

import pytest

from node.auth import apikeys
from node.auth.gate import Scope
from tests.support.cli import Answer, call


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def with_file(folder: Path) -> str:
    config = folder / "switchboard.toml"
    config.write_text('[api]\nkeys_file = "keys.toml"\n')
    return str(config)


def test_the_key_and_the_lines_for_the_file_are_printed(tmp_path: Path) -> None:
    run = call("key", "backend", "--scopes", "send, read,send")
    assert run.status == 0
    key, _, lines = run.out.partition("\n\n")
    assert key.startswith("sb_backend_")
    file = tmp_path / "keys.toml"
    file.write_text(lines)
    (entry,) = apikeys.read(file)
    assert (entry.name, entry.expires) == ("backend", None)
    assert entry.scopes == {Scope.SEND, Scope.READ}
    assert bytes.fromhex(entry.sha256) == apikeys.digest_of(key)
    assert "shown once" in run.err
    assert key not in run.err


def test_added_to_the_file_it_stands_behind_those_that_are_there(tmp_path: Path) -> None:
    config = with_file(tmp_path)
    first = call("key", "a", "--scopes", "admin", "--add", "--config", config)
    second = call("key", "b", "--scopes", "kick", "--days", "30", "--add", "--config", config)
    assert [first.status, second.status] == [0, 0]
    file = tmp_path / "keys.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    keys = apikeys.read(file)
    assert [key.name for key in keys] == ["a", "b"]
    assert bytes.fromhex(keys[1].sha256) == apikeys.digest_of(second.out.strip())
    assert keys[0].expires is None
    assert keys[1].expires is not None
    assert first.out.strip() not in file.read_text()


def test_json_is_one_document(tmp_path: Path) -> None:
    run = call("key", "b", "--scopes", "kick", "--json")
    assert (run.status, run.err) == (0, "")
    told = json.loads(run.out)
    assert list(told) == ["name", "key", "sha256", "scopes", "expires"]
    assert apikeys.digest_of(told["key"]).hex() == told["sha256"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a b", "--scopes", "read"], "name: has 1 to 32 letters"),
        (["a", "--scopes", "read,write"], "scopes: 'write' is not one of send, read, kick, admin"),
        (["a", "--scopes", ""], "scopes: '' is not one of"),
        (["a", "--scopes", "read", "--days", "1e9"], "days: "),
        (["a"], "--scopes"),
        (["a", "--scopes", "read", "--add"], "api.keys_file: no file is named"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_2(arguments: list[str], words: str) -> None:
    run = call("key", *arguments)
    assert (run.status, run.out, run.err.count("\n")) == (2, "", 1)
    assert words in run.err


def test_a_file_that_is_no_list_of_keys_is_left_alone(tmp_path: Path) -> None:
    config = with_file(tmp_path)
    (tmp_path / "keys.toml").write_text("[[key]")
    run = call("key", "a", "--scopes", "read", "--add", "--config", config)
    assert (run.status, run.out) == (2, "")
    assert (tmp_path / "keys.toml").read_text() == "[[key]"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    config = with_file(tmp_path)
    (tmp_path / "switchboard.toml").write_text('[api]\nkeys_file = "none/keys.toml"\n')
    run: Answer = call("key", "a", "--scopes", "read", "--add", "--config", config)
    assert (run.status, run.out) == (1, "")
    assert "none/keys.toml" in run.err
