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
    root, access = logging.getLogger(), logging.getLogger("tornado.access")
    handlers, levels, config = root.handlers[:], (root.level, access.level), structlog.get_config()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        access.setLevel(levels[1])
        structlog.configure(**config)


def call(*arguments: str) -> Answer:
    """Run `switchboard` with these arguments."""
    with logs_restored(), ExitStack() as stack:
        out = stack.enter_context(redirect_stdout(io.StringIO()))
        err = stack.enter_context(redirect_stderr(io.StringIO()))
        status = main(arguments)
    return Answer(status, out.getvalue(), err.getvalue())
