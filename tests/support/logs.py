"""Logging is set up once per process: what a test sets up anew is put back."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from chassis.settings import Log


@contextmanager
def logging_restored() -> Iterator[None]:
    """Put back hooks, handlers and structlog as they were before `configure_logging`."""
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    root = logging.getLogger()
    handlers, level, show = root.handlers[:], root.level, warnings.showwarning
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
        logging.captureWarnings(capture=False)
        warnings.showwarning = show
        root.handlers[:], logging.raiseExceptions = handlers, True
        root.setLevel(level)
        structlog.reset_defaults()
        sys.modules["chassis.log"]._configure_structlog(Log(), "turnout", None)
