"""A reading as a table for people and as a document for programs."""

from __future__ import annotations

from typing import Any, Final, TextIO

import attrs
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from switch.iso8583.dialect import Dialect
from switch.iso8583.errors import CodecError
from switch.iso8583.explain.reading import Reading, framing_words
from switch.iso8583.explain.rows import Row

PLAIN_WIDTH: Final = 140  # columns where there is no terminal to ask
ROOMY_WIDTH: Final = 110  # from which on every column has room for what usually stands in it
SLIM_WIDTH: Final = 64  # below it the bytes are left out, too: values in slices are no help
VALUE_WIDTH: Final = 16  # then: a masked card number
RAW_BYTES_SHOWN: Final = 24  # of one element in the table; the document has all


def show(dialect: Dialect, reading: Reading, stream: TextIO) -> None:
    """Write the table of a reading, then what is wrong and what may help."""
    console = Console(
        file=stream,
        width=None if stream.isatty() else PLAIN_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(f"{dialect.title}; framing: {framing_words(reading.framing)}")
    if reading.explanation.rows:
        console.print(_table(reading, console.width))
    if not reading.ok:
        console.print(Text(f"not a message of {dialect.name}: {_fault(dialect, reading)}", "red"))
    for hint in reading.hints:
        console.print(Text(f"hint: {hint}", "yellow"))


def _fault(dialect: Dialect, reading: Reading) -> str:
    error = reading.explanation.error
    return reading.frame_fault if error is None else fault_words(dialect, error, reading.offset)


def fault_words(dialect: Dialect, error: CodecError, offset: int = 0) -> str:
    """An error of the codec with the name and format of its element.

    Args:
        dialect: of the message.
        error: of either direction.
        offset: of the message in what the reader counts bytes of.
    """
    element = dialect.elements.get(error.de)
    form = "" if element is None else f" ({element.name}, {element.format})"
    return f"DE {error.de}{form} at byte {error.offset + offset}: {error.reason}"


def document(dialect: Dialect, reading: Reading) -> dict[str, Any]:
    """The reading for `--json`; offsets count from the first byte given."""
    return {
        "dialect": dialect.name,
        "framing": None if reading.framing is None else framing_words(reading.framing),
        "ok": reading.ok,
        "fields": [
            attrs.asdict(row) | {"offset": row.offset + reading.offset}
            for row in reading.explanation.rows
        ],
        "error": _error(reading),
        "hints": list(reading.hints),
    }


def _error(reading: Reading) -> dict[str, Any] | None:
    """What is wrong; a fault of the frame has no element."""
    error = reading.explanation.error
    if error is not None:
        offset = error.offset + reading.offset
        return {"de": error.de, "offset": offset, "reason": str(error.reason)}
    if reading.frame_fault:
        return {"de": None, "offset": 0, "reason": reading.frame_fault}
    return None


def _table(reading: Reading, width: int) -> Table:
    """The elements; on a narrow terminal names are broken, and what is least asked for is left out.

    Values are never in slices of a few characters: a card number's have room in one line.
    """
    roomy = width >= ROOMY_WIDTH
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("DE", justify="right", no_wrap=True)
    table.add_column("name", no_wrap=roomy)
    if roomy:
        table.add_column("format", no_wrap=True)
    table.add_column("byte", justify="right", no_wrap=True)
    if width >= SLIM_WIDTH:
        table.add_column("bytes", overflow="fold")
    table.add_column("value", overflow="fold", width=None if roomy else VALUE_WIDTH)
    table.add_column("meaning", overflow="fold")
    for row in reading.explanation.rows:
        table.add_row(
            "MTI" if row.de == 0 else str(row.de),
            row.name if roomy else row.name.replace("_", " "),
            *([row.format] if roomy else []),
            str(row.offset + reading.offset),
            *([_shortened(row)] if width >= SLIM_WIDTH else []),
            row.value.rstrip(),
            row.meaning,
        )
    return table


def _shortened(row: Row) -> str:
    shown = 2 * RAW_BYTES_SHOWN
    if len(row.raw) <= shown:
        return row.raw
    return f"{row.raw[:shown]} .. ({row.size} bytes)"
