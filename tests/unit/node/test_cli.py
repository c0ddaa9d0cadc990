"""The command as a whole: its help, and what becomes of errors."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from node import cli
from node.cli import app
from router.errors import InvalidSettings, InvalidUser, ServerFailed, Unavailable
from tests.support.cli import call

COMMANDS = sorted(command.name or "" for command in app.registered_commands)


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where no config.toml and no store is."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """A command `fail` that raises what is put into the list."""
    to_raise: list[BaseException] = []

    def fail() -> None:
        raise to_raise.pop()

    broken = typer.Typer()
    broken.command("fail")(fail)
    broken.command("other")(lambda: None)
    monkeypatch.setattr(cli, "app", broken)
    yield to_raise
    assert not to_raise


class TestHelp:
    def test_the_commands_of_the_contract_are_there(self) -> None:
        assert {"up", "serve", "redis-url", "send", "users", "user", "nodes", "kick"} <= set(
            COMMANDS
        )

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_has_an_example_and_the_common_options(self, command: str) -> None:
        answer = call(command, "--help")
        assert (answer.status, answer.err) == (0, "")
        assert f"Example: switchboard {command}" in answer.out or "Example: redis-cli" in answer.out
        for option in ("--config", "--redis", "--json"):
            assert option in answer.out

    def test_no_command_at_all_is_help(self) -> None:
        answer = call()
        assert answer.status == 2
        assert "Usage: switchboard" in answer.out
        assert answer.err == ""


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["fly"], "switchboard: No such command 'fly'; see 'switchboard --help'\n"),
            (["up", "--nodes", "many"], "see 'switchboard up --help'\n"),
            (["up", "--nodes", "0"], "see 'switchboard up --help'\n"),
            (["up", "--wings"], "No such option: --wings"),
        ],
    )
    def test_a_wrong_call_is_one_sentence_and_status_2(
        self, arguments: list[str], sentence: str
    ) -> None:
        answer = call(*arguments)
        assert answer.status == 2
        assert sentence in answer.err
        assert answer.err.startswith("switchboard: ")
        assert answer.err.count("\n") == 1
        assert answer.out == ""


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "status", "sentence"),
        [
            (InvalidUser("it is empty"), 2, "user: it is empty"),
            (ServerFailed("the disk is full"), 1, "the disk is full"),
            (Unavailable("x:1", "refused"), 1, "the store at x:1 is not available: refused"),
            (ExceptionGroup("", [ServerFailed("inside")]), 1, "inside"),
        ],
    )
    def test_an_error_of_ours_is_its_sentence_and_its_status(
        self, failing: list[BaseException], error: BaseException, status: int, sentence: str
    ) -> None:
        failing.append(error)
        answer = call("fail")
        assert (answer.status, answer.out) == (status, "")
        assert answer.err == f"switchboard: {sentence}\n"

    def test_each_problem_of_the_settings_has_its_line(self, failing: list[BaseException]) -> None:
        failing.append(InvalidSettings(["one", "two"]))
        answer = call("fail")
        assert (answer.status, answer.err) == (2, "switchboard: one\nswitchboard: two\n")

    def test_what_nobody_expected_is_one_sentence_too(self, failing: list[BaseException]) -> None:
        failing.append(KeyError("a\nb"))
        answer = call("fail")
        assert answer.status == 1
        assert answer.err.startswith("switchboard: an error nobody expected, please report it: Key")
        assert "(test_cli.py:" in answer.err
        assert answer.err.count("\n") == 1

    def test_control_characters_reach_no_terminal(self, failing: list[BaseException]) -> None:
        failing.append(ServerFailed("\x1b[2Jgone"))
        assert "\x1b" not in call("fail").err

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
    def test_an_interrupt_is_quiet(
        self, failing: list[BaseException], error: BaseException
    ) -> None:
        failing.append(error)
        answer = call("fail")
        assert (answer.status, answer.err) == (130, "")

    def test_bad_settings_are_status_2(self, tmp_path: Path) -> None:
        (tmp_path / "config.toml").write_text("[node]\nprot = 1\nhost = '0.0.0.0'\n")
        answer = call("redis-url")
        assert answer.status == 2
        assert "node.prot: there is no such setting" in answer.err


def test_the_module_is_the_command() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "node.cli", "fly"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert answer.stderr == "switchboard: No such command 'fly'; see 'switchboard --help'\n"


def test_a_reader_that_left_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    answer = subprocess.run(
        [sys.executable, "-m", "node.cli", "redis-url", "--redis", "redis://x"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (answer.returncode, answer.stderr) == (1, b"")
