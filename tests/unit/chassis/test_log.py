"""Every way of writing a log line goes through the mask, which fails closed."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from chassis.log import WITHHELD, configure_logging, get_logger, statistics
from chassis.secrets import Key
from chassis.settings import Log
from tests.support.logs import logging_restored

NUMBER = "4242424242424242"


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """What these tests set up is put back."""
    with logging_restored():
        yield


@pytest.fixture
def stream() -> io.StringIO:
    """Where JSON lines go."""
    written = io.StringIO()
    configure_logging(Log(format="json"), process="switch", stream=written)
    return written


def _events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line(stream: io.StringIO) -> None:
    """Time, level, process and module stand beside what was said."""
    get_logger("switch.pipeline").warning("late answer", network="vsim", age_s=0.5)
    (event,) = _events(stream)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "late answer",
        "level": "warning",
        "process": "switch",
        "module": "switch.pipeline",
        "network": "vsim",
        "age_s": 0.5,
    }


def test_the_level_is_a_threshold() -> None:
    """Below the level nothing is written."""
    stream = io.StringIO()
    configure_logging(Log(level="warning", format="json"), process="api", stream=stream)
    log = get_logger(__name__)
    log.info("quiet")
    log.warning("loud")
    assert [event["event"] for event in _events(stream)] == ["loud"]


def test_card_data_is_masked_everywhere_in_an_event(stream: io.StringIO) -> None:
    """The message, the values, their keys, secrets and exception text are all masked."""
    log = get_logger(__name__)
    said = f"card {NUMBER}"
    log.error(said, number=NUMBER, key=Key(b"material"), n=[NUMBER])
    log.error("failed", exc_info=ExceptionGroup("several", [ValueError("no card " + NUMBER)]))
    assert NUMBER not in stream.getvalue()
    assert "material" not in stream.getvalue()
    assert "no card [masked]" in _events(stream)[1]["exception"]


def test_tracebacks_do_not_show_local_variables(stream: io.StringIO) -> None:
    """What a failing function held stays out of the log."""

    def fail() -> None:
        held = "local " + "value"
        raise RuntimeError(len(held))

    try:
        fail()
    except RuntimeError:
        get_logger(__name__).exception("failed")
    assert "local value" not in stream.getvalue()
    assert "RuntimeError" in stream.getvalue()


class Unprintable:
    """An object whose repr fails, and would leak through the error."""

    def __repr__(self) -> str:
        raise RuntimeError(NUMBER)


def test_an_event_that_cannot_be_masked_is_withheld(stream: io.StringIO) -> None:
    """The masking fails closed: nothing of the event shows but that there was one."""
    before = statistics.withheld
    get_logger(__name__).error("said", number=NUMBER, what=Unprintable(), plain="plain text")
    (event,) = _events(stream)
    assert event.keys() == {"event", "level", "process", "timestamp"}
    assert (event["event"], event["level"], event["process"]) == (WITHHELD, "error", "switch")
    assert statistics.withheld == before + 1


@pytest.mark.parametrize("format_", ["console", "auto", "json"])
def test_every_format_masks(format_: Any) -> None:
    """The mask stands before the renderer, whichever it is."""
    stream = io.StringIO()
    configure_logging(Log(format=format_), process="api", stream=stream)
    get_logger(__name__).info("paid", number=NUMBER)
    assert "paid" in stream.getvalue()
    assert NUMBER not in stream.getvalue()


def test_auto_is_json_away_from_a_terminal(stream: io.StringIO) -> None:
    """A file or a pipe gets JSON lines."""
    configure_logging(Log(format="auto"), process="api", stream=stream)
    get_logger(__name__).info("paid")
    assert _events(stream)[0]["event"] == "paid"


class Terminal(io.StringIO):
    """A stream that people look at."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.mark.parametrize(
    ("environ", "colored"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
    ],
    ids=str,
)
def test_a_terminal_gets_the_colors_it_wants(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], *, colored: bool
) -> None:
    """Unless somebody says that there shall be none (no-color.org)."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    stream = Terminal()
    configure_logging(Log(), process="api", stream=stream)
    get_logger(__name__).info("paid")
    assert "paid" in stream.getvalue()
    assert ("\x1b[" in stream.getvalue()) is colored


def test_uncaught_exceptions_are_masked(stream: io.StringIO) -> None:
    """The hooks that Python calls for lost exceptions write masked events."""
    error = ValueError(NUMBER)
    sys.excepthook(ValueError, error, None)
    sys.unraisablehook(
        SimpleNamespace(exc_type=ValueError, exc_value=error, exc_traceback=None)  # type: ignore[arg-type]
    )
    thread = threading.Thread(target=int, args=("x" + NUMBER,))
    thread.start()
    thread.join()
    events = _events(stream)
    assert len(events) == 3
    assert all("[masked]" in event["exception"] for event in events)
    assert NUMBER not in stream.getvalue()


def test_the_interrupt_has_no_traceback(stream: io.StringIO) -> None:
    """Ctrl-C before anything listens for it is one short line."""
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    (event,) = _events(stream)
    assert event["event"] == "interrupted"
    assert "exception" not in event


def test_the_standard_library_speaks_through_the_mask(stream: io.StringIO) -> None:
    """Records of `logging`, and warnings, are masked events too."""
    logging.getLogger("some.library").warning("card %s", NUMBER)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn(f"old card {NUMBER}", stacklevel=1)
    first, second = _events(stream)
    assert (first["event"], first["module"]) == ("card [masked]", "some.library")
    assert "old card [masked]" in second["event"]


def test_percent_signs_of_a_library_are_text(stream: io.StringIO) -> None:
    """A library's finished message is not formatted a second time."""
    logging.getLogger("some.library").warning("%s", "100 %d done")
    assert _events(stream)[0]["event"] == "100 %d done"


def test_a_failing_stream_loses_lines_not_payments() -> None:
    """A closed stream is counted; the caller goes on."""
    stream = io.StringIO()
    configure_logging(Log(format="json"), process="api", stream=stream)
    stream.close()
    before = statistics.lost
    get_logger(__name__).info("said")
    assert statistics.lost == before + 1


def test_a_lone_surrogate_is_written_escaped() -> None:
    """Text that UTF-8 cannot carry does not fail the writer."""
    stream = io.StringIO()
    configure_logging(Log(format="console"), process="api", stream=stream)
    get_logger(__name__).info("odd \udcff name")
    assert "odd" in stream.getvalue()
    stream.getvalue().encode()


def test_unconfigured_logging_is_masked_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Importing the module is enough: nothing reaches stdout, nothing leaks to stderr."""
    get_logger(__name__).error("early", number=NUMBER)
    out, err = capsys.readouterr()
    assert out == ""
    assert "early" in err
    assert NUMBER not in err
