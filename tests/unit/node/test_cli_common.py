"""What all commands share: how they print, and what they log."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from typing import Literal

import pytest
import structlog

from node.cli import logs
from node.cli.common import print_json, print_table, run, say
from router.settings import LogSettings
from tests.support.cli import logs_restored


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What standard error has taken; a test may send logs there, that is taken back afterwards."""
    with logs_restored():
        yield lambda: capsys.readouterr().err


def printed(columns: list[str], rows: list[list[object]]) -> list[str]:
    with redirect_stdout(io.StringIO()) as out:
        print_table(columns, rows)
    return [line.rstrip() for line in out.getvalue().splitlines() if line.strip()]


class TestPrinting:
    def test_json_is_one_line(self) -> None:
        with redirect_stdout(io.StringIO()) as out:
            print_json({"a": [1, "ü"]})
        assert out.getvalue() == '{"a":[1,"ü"]}\n'

    def test_a_table_sets_numbers_to_the_right(self) -> None:
        heading, _, first, second = printed(["user", ">n"], [["alice", 1], ["bob", 222]])
        assert heading.split() == ["user", "n"]
        assert first.endswith("  1")
        assert second.endswith("222")

    def test_a_table_in_a_pipe_is_never_cut(self) -> None:
        assert any("x" * 500 in line for line in printed(["a", "b"], [["x" * 500, "y"]]))

    def test_what_is_in_a_cell_is_shown_as_it_is(self) -> None:
        assert printed(["a"], [["[red]\x1b[2J[/red]"]])[-1].strip() == r"[red]\x1b[2J[/red]"

    def test_news_goes_to_standard_error(self, stderr: Callable[[], str]) -> None:
        say("hello")
        assert stderr() == "hello\n"

    def test_work_is_run_and_its_result_returned(self) -> None:
        async def work() -> int:
            return 42

        assert run(work()) == 42


class TestLogs:
    def test_a_line_for_people(self, stderr: Callable[[], str]) -> None:
        logs.configure(LogSettings())
        structlog.get_logger().info("node is up", node="n1")
        (line,) = stderr().splitlines()
        assert "node is up" in line
        assert "node=n1" in line

    def test_a_line_for_machines(self, stderr: Callable[[], str]) -> None:
        logs.configure(LogSettings(format="json"))
        structlog.get_logger().warning("odd", text="a\nb")
        logging.getLogger("library").warning("said %s", "so")
        ours, theirs = [json.loads(line) for line in stderr().splitlines()]
        assert (ours["event"], ours["text"], ours["level"]) == ("odd", "a\nb", "warning")
        assert (theirs["event"], theirs["level"]) == ("said so", "warning")

    def test_what_is_below_the_level_is_left_out(self, stderr: Callable[[], str]) -> None:
        logs.configure(LogSettings(level="warning"))
        structlog.get_logger().info("chatter")
        logging.getLogger("library").info("chatter")
        assert stderr() == ""

    def test_a_quiet_program_logs_the_unexpected(self, stderr: Callable[[], str]) -> None:
        logs.configure(LogSettings(), quiet=True)
        structlog.get_logger().error("lost the store")
        structlog.get_logger().critical("unthinkable")
        (line,) = stderr().splitlines()
        assert "unthinkable" in line

    def test_debug_makes_even_a_quiet_program_talk(self, stderr: Callable[[], str]) -> None:
        logs.configure(LogSettings(level="debug"), quiet=True)
        structlog.get_logger().info("looking")
        assert "looking" in stderr()

    def test_requests_are_not_logged_one_by_one(self, stderr: Callable[[], str]) -> None:
        logs.configure(LogSettings())
        logging.getLogger("tornado.access").warning("404 GET /")
        assert stderr() == ""

    @pytest.mark.parametrize("format", ["console", "json"])
    def test_what_is_bound_is_in_every_line_as_it_is_then(
        self, stderr: Callable[[], str], format: Literal["console", "json"]
    ) -> None:
        logs.configure(LogSettings(format=format))
        epochs = ["n1.a"]
        with structlog.contextvars.bound_contextvars(node="n1", endpoint=lambda: epochs[-1]):
            structlog.get_logger().info("ours")
            epochs.append("n1.b")
            logging.getLogger("library").warning("theirs")
        ours, theirs = stderr().splitlines()
        assert "n1.a" in ours
        assert "n1.b" in theirs

    def test_what_is_bound_and_not_there_yet_is_left_out(self, stderr: Callable[[], str]) -> None:
        logs.configure(LogSettings())
        with structlog.contextvars.bound_contextvars(node="n1", endpoint=lambda: None):
            structlog.get_logger().info("early", code=None)
        line = stderr()
        assert "endpoint" not in line
        assert "code=None" in line

    @pytest.mark.parametrize("format", ["console", "json"])
    def test_an_error_cannot_quote_a_line_into_the_log(
        self, stderr: Callable[[], str], format: Literal["console", "json"]
    ) -> None:
        logs.configure(LogSettings(format=format))
        forged = "2026-01-01T00:00:00Z [info     ] all is well"
        for log in (structlog.get_logger(), logging.getLogger("library")):
            try:
                raise ValueError(f"x\n{forged}\r{forged}\x1b[2J\x7f\u2028{forged}")
            except ValueError:
                log.exception("failed")
        lines = stderr().splitlines()
        assert not [line for line in lines if line.startswith("2026-01-01")]
        assert not [line for line in lines if "\x1b" in line or "\x7f" in line]
        assert len([line for line in lines if not line.startswith("    ")]) == 2

    @pytest.mark.parametrize("format", ["console", "json"])
    def test_a_secret_that_a_library_quotes_is_hidden(
        self, stderr: Callable[[], str], format: Literal["console", "json"]
    ) -> None:
        logs.configure(LogSettings(format=format))
        logging.getLogger("library").error("GET /ws?token=s3cret-token from %s", "10.0.0.1")
        try:
            raise ValueError("rediss://:s3cret@store:6379/0")
        except ValueError:
            structlog.get_logger().exception("failed")
        said = stderr()
        assert "s3cret" not in said
        assert "store:6379" in said
        assert "10.0.0.1" in said

    def test_nothing_logged_steers_a_terminal(self, stderr: Callable[[], str]) -> None:
        logs.configure(LogSettings())
        structlog.get_logger().info("bad \x1b[2J", user="x\x1b]0;y\nnode is up")
        (line,) = stderr().splitlines()
        assert "\x1b" not in line
