"""Calls the command line inside this process and says what it did."""

import io
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

import structlog

from node.cli import main


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answered: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


@contextmanager
def logs_restored() -> Iterator[None]:
    """Take back what is set up for logs inside the block: it is the process's, not the test's."""
    root = logging.getLogger()
    handlers, config = root.handlers[:], structlog.get_config()
    levels = {
        name: logging.getLogger(name).level
        for name in (None, "tornado.access", "aiormq.connection")
    }
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        structlog.configure(**config)


def call(*arguments: str) -> Answer:
    """Run `switchboard` with these arguments."""
    with logs_restored(), ExitStack() as stack:
        out = stack.enter_context(redirect_stdout(io.StringIO()))
        err = stack.enter_context(redirect_stderr(io.StringIO()))
        status = main(arguments)
    return Answer(status, out.getvalue(), err.getvalue())
