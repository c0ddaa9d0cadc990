"""What our programs log and how it looks: one line an event, on standard error."""

import logging
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.types import EventDict, ExcInfo, Processor, WrappedLogger

from node.observe.redaction import redact
from router.settings import LogSettings

_LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


def configure(settings: LogSettings, quiet: bool = False) -> None:
    """Send what we and our libraries log to standard error.

    Args:
        settings: level and format.
        quiet: for commands that answer one question: what went wrong is their answer, so only
            what nobody expected is logged.
    """
    level = logging.CRITICAL if quiet and settings.level != "debug" else _LEVELS[settings.level]
    stamped: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        as_of_now,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    closing: list[Processor]
    if settings.format == "json":
        closing = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(), hide]
    else:
        colors = sys.stderr.isatty()
        renderer = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=traceback_to)
        closing = [escape_controls, renderer, hide]
    structlog.configure(
        processors=[*stamped, *closing],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        # A cached logger would outlive a change of this configuration; we log rarely.
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=stamped,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *closing],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # A line for each request would be a line for each message.
    logging.getLogger("tornado.access").setLevel(max(level, logging.ERROR))
    # Each lost connection with a traceback, each try to connect an error: ours is one line.
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)


def escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make control characters visible: nothing logged may move a terminal's cursor or fake a line.

    Args:
        event: what is logged; the other arguments are what structlog hands to a processor.
    """
    return {k: visible(v) if isinstance(v, str) else v for k, v in event.items()}


def as_of_now(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Ask for what changes while it is bound, such as the endpoint; arguments as above.

    What is not there yet, as the endpoint of a node that is not open, is left out.
    """
    asked = ((k, v() if callable(v) else v, callable(v)) for k, v in event.items())
    return {k: v for k, v, was_asked in asked if v is not None or not was_asked}


def hide(_logger: WrappedLogger, _method: str, line: Any) -> str:
    """Take secrets out of a line, and what `json` leaves as it is; other arguments as above."""
    return redact(line).replace("\x7f", "\\u007f")


def traceback_to(out: TextIO, exc_info: ExcInfo) -> None:
    """Write a traceback, indented: no line that an error quotes looks like one of the log.

    Args:
        out: where to.
        exc_info: of the error.
    """
    lines = "".join(traceback.format_exception(*exc_info)).splitlines()
    out.write("\n".join(f"    {visible(line)}" for line in lines))


def visible(text: str) -> str:
    """Return `text` with whatever could steer a terminal written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
