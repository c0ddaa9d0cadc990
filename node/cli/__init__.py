"""The command `switchboard`: puts the groups of commands together and turns errors into words."""

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import typer

from node.cli import cluster, doctor, key, messages, registry, tokens, watch
from node.cli.logs import visible
from router.errors import InvalidSettings, SwitchboardError

_FAILED: Final = 1
_INTERRUPTED: Final = 130

app = typer.Typer(
    name="switchboard",
    help="Routes messages to the WebSocket node that holds the user.",
    epilog="Example: switchboard up, and in another terminal: switchboard send alice hello",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
# A new file of commands is one name here.
for group in (cluster, messages, registry, key, watch, doctor, tokens):
    group.add(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows the program's name; None for those of this process.

    Returns:
        The exit status: 0 done, 1 failed, 2 usage or bad settings, others as the command says.
    """
    try:
        status = app(arguments, prog_name="switchboard", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # `switchboard users | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except Exception as exc:  # noqa: BLE001 - the one place where errors become words
        return _explain(exc)
    return status if isinstance(status, int) else 0


def _explain(exc: BaseException) -> int:
    """Print what went wrong, one sentence on standard error; return the exit status."""
    match exc:
        case BaseExceptionGroup():
            return _explain(exc.exceptions[0])
        case InvalidSettings():
            for problem in exc.problems:
                _complain(problem)
            return exc.consequence.exit_status
        case SwitchboardError():
            _complain(str(exc))
            return exc.consequence.exit_status
        case typer.TyperException():
            context = getattr(exc, "ctx", None)
            command = "switchboard" if context is None else context.command_path
            if exc.format_message():  # without arguments at all the help is the answer
                _complain(f"{exc.format_message().rstrip('.')}; see '{command} --help'")
            return exc.exit_code
        case typer.Abort():
            return _INTERRUPTED
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    _complain(f"an error nobody expected, please report it: {type(exc).__name__}: {exc} ({where})")
    return _FAILED


def _complain(sentence: str) -> None:
    one_line = " ".join(sentence.split())
    sys.stderr.write(f"switchboard: {visible(one_line)}\n")
