"""Calls the command line inside this process and says what it did."""

import io
import logging
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass

import structlog

from node.cli import main


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answered: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


def call(*arguments: str) -> Answer:
    """Run `switchboard` with these arguments; what it set up for its logs is taken back."""
    root = logging.getLogger()
    handlers, level, logs = root.handlers[:], root.level, structlog.get_config()
    with ExitStack() as stack:
        out = stack.enter_context(redirect_stdout(io.StringIO()))
        err = stack.enter_context(redirect_stderr(io.StringIO()))
        try:
            status = main(arguments)
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
            structlog.configure(**logs)
    return Answer(status, out.getvalue(), err.getvalue())
