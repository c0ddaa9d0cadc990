"""What our programs log and how it looks: one line an event, on standard error."""

import logging
import sys
from collections.abc import Mapping
from typing import Final

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

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
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    closing: list[Processor]
    if settings.format == "json":
        closing = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        colors = sys.stderr.isatty()
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)
        closing = [escape_controls, renderer]
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


def visible(text: str) -> str:
    """Return `text` with whatever could steer a terminal written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
