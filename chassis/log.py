"""Structured logs on stderr, masked, one line an event.

Logs tell of anomalies and samples; the record of payments is the event stream. Every event goes
through `chassis.masking` after its exception has become text and before it is rendered. The
masking fails closed: an event that cannot be masked is replaced, and counted.

Uncaught exceptions, warnings and the standard library's `logging` take the same way, because their
messages are where plain text turns up unasked. Tracebacks are rendered without local variables.
A stream that cannot be written (a closed terminal) must not stop a payment: the line is lost and
counted.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, TextIO, cast

import structlog
from attrs import define
from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger

from chassis.masking import mask_values
from chassis.settings.tree import Log

__all__ = ["FilteringBoundLogger", "LogStatistics", "configure_logging", "get_logger", "statistics"]

WITHHELD = "event withheld: it could not be masked"
_SAFE_KEYS = ("timestamp", "level", "process")  # set by us, so they survive a withheld event


@define
class LogStatistics:
    """What became of the events of this process."""

    withheld: int = 0  # replaced because masking failed
    lost: int = 0  # not written because the stream failed


statistics = LogStatistics()


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger that marks its events with `name` (a module's `__name__`)."""
    return cast(FilteringBoundLogger, structlog.get_logger(module=name))


def configure_logging(settings: Log, *, process: str, stream: TextIO | None = None) -> None:
    """Set up every way in which this process may write a log line.

    Args:
        settings: level and format; format `auto` is console on a terminal, else JSON. A terminal
            gets colors, unless `NO_COLOR` (no-color.org) is set or `TERM` is `dumb`.
        process: which process speaks, such as `switch`.
        stream: where to; None = whatever `sys.stderr` is when the line is written.
    """
    _configure_structlog(settings, process, stream)
    _capture_uncaught_exceptions()
    _capture_standard_logging(settings)


def _configure_structlog(settings: Log, process: str, stream: TextIO | None) -> None:
    def name_process(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> Any:
        event["process"] = process
        return event

    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_process,
        structlog.processors.ExceptionRenderer(),
        mask_event,
        _renderer(settings, stream or sys.stderr),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        logger_factory=lambda *_: LineWriter(stream),
        cache_logger_on_first_use=False,
    )


def _renderer(settings: Log, stream: TextIO) -> Processor:
    is_terminal = stream.isatty()
    if settings.format == "json" or (settings.format == "auto" and not is_terminal):
        return structlog.processors.JSONRenderer()
    colors = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback
    )


def mask_event(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The structlog processor that masks, or withholds what it cannot mask."""
    try:
        return mask_values(event)
    except Exception:  # noqa: BLE001 - a repr may raise anything; nothing of the event may pass
        statistics.withheld += 1
        return {"event": WITHHELD} | {key: event[key] for key in _SAFE_KEYS if key in event}


class LineWriter:
    """The last step: one line on a stream, which may fail without failing the caller."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write one rendered event."""
        stream = self._stream or sys.stderr
        try:
            stream.write(line.encode(errors="backslashreplace").decode() + "\n")
            stream.flush()
        except (OSError, ValueError):  # closed pipe or terminal; ValueError: closed file
            statistics.lost += 1

    # structlog calls the method named like the level.
    debug = info = warning = error = critical = exception = fatal = msg


def _capture_uncaught_exceptions() -> None:
    log = get_logger("python")

    def uncaught(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            log.error("interrupted")
        else:
            log.critical("uncaught exception", exc_info=(kind, error, trace))

    def uncaught_in_thread(details: threading.ExceptHookArgs) -> None:
        if details.exc_value is not None:
            uncaught(details.exc_type, details.exc_value, details.exc_traceback)

    def unraisable(details: Any) -> None:
        log.error(
            "exception where none can be raised",
            exc_info=(details.exc_type, details.exc_value, details.exc_traceback),
        )

    sys.excepthook = uncaught
    threading.excepthook = uncaught_in_thread
    sys.unraisablehook = unraisable


class _StandardLibraryHandler(logging.Handler):
    """Hands the records of `logging` to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging` for each record that passed its level."""
        get_logger(record.name).log(
            record.levelno, "%s", record.getMessage(), exc_info=record.exc_info
        )


def _capture_standard_logging(settings: Log) -> None:
    logging.raiseExceptions = False  # or `logging` prints failures itself, unmasked
    logging.basicConfig(
        handlers=[_StandardLibraryHandler()], level=settings.level.upper(), force=True
    )
    logging.captureWarnings(capture=True)


# structlog's own default prints unmasked on stdout, so importing this module is enough to be safe.
_configure_structlog(Log(), "turnout", None)
