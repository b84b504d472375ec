"""The network's own record: `<data_dir>/networks/<name>.log`, one line per decided message.

Theory of operation. Every decision is written before its answer may leave, the lines of one batch
in one `write`. Nothing is synchronized to the disk: the record has to survive the process
(`kill -9`), not the machine, and what a process has written the kernel keeps. A line cut short by
such a kill was never answered; the next start removes it. A failed write ends the process: a
network that cannot record what it decides does not decide.

The file is the third witness beside the merchant's HTTP answers and the ledger, so it is readable
by anything: tab-separated columns, no header, no quoting, digits as on the wire. Repeats and
refused duplicates decide nothing and leave no line. A card number appears masked. What a message
did to the cardholder's account stands in the last two columns: their sums are the books.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from msgspec import Struct

from chassis.secrets import masked_pan

COLUMNS: Final = (
    "decided_at_us",
    "acquirer_id",
    "stan",
    "de7",
    "rrn",
    "card_acceptor_id",
    "mti",
    "processing_code",
    "amount",
    "currency",
    "masked_pan",
    "response_code",
    "approval_code",
    "answer_delay_ms",
    "original",
    "settlement_date",
    "held_change",
    "posted_change",
)
_NUMBERS: Final = tuple(
    COLUMNS.index(name)
    for name in ("decided_at_us", "answer_delay_ms", "held_change", "posted_change")
)
_COLUMNS_BEFORE_BOOKS: Final = 15  # lines of version 0.1.0 end with `original`
LINE_BYTES_MAX: Final = 320  # every column at its widest makes 240
NEVER_MS: Final = -1


class JournalError(Exception):
    """The record cannot be read or written; names the file and the place."""


class Entry(Struct, array_like=True, frozen=True, gc=False):
    """One line. Codes and numbers are the wire's own digits."""

    decided_at_us: int  # microseconds since 1970, UTC
    acquirer_id: str  # DE 32
    stan: str  # DE 11
    de7: str  # MMDDhhmmss
    rrn: str  # DE 37
    card_acceptor_id: str  # DE 42
    mti: str  # without a repeat digit
    processing_code: str  # DE 3
    amount: str  # DE 4, 12 digits, minor units
    currency: str  # DE 49, numeric
    masked_pan: str
    response_code: str  # DE 39
    approval_code: str  # DE 38, or empty
    answer_delay_ms: int  # 0 = at once, NEVER_MS = the answer was withheld
    # Reversals: DE 11 and DE 7 of the original, and of a reversal of a part the twelve digits of
    # the amount that remains. Otherwise empty.
    original: str
    settlement_date: str = ""  # DE 15 of the answer with its year, YYYY-MM-DD; empty = none
    held_change: int = 0  # minor units more held on the account; negative = released or captured
    posted_change: int = 0  # minor units that left the account; negative = that came back

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read one line without its newline.

        Raises:
            ValueError: it has other columns than `COLUMNS`.
        """
        columns = line.split("\t")
        if len(columns) == _COLUMNS_BEFORE_BOOKS:
            columns += ["", "0", "0"]
        if len(columns) != len(COLUMNS):
            raise ValueError(f"{len(columns)} columns instead of {len(COLUMNS)}")
        entry: Any = columns
        for index in _NUMBERS:
            entry[index] = int(columns[index])
        return cls(*entry)

    @property
    def key(self) -> str:
        """The columns that name the message (`message_key`)."""
        return message_key(self.acquirer_id, self.stan, self.de7, self.rrn, self.card_acceptor_id)

    @property
    def original_key(self) -> str:
        """The key of the message that this reversal names."""
        stan, de7 = self.original[:6], self.original[6:16]
        return message_key(self.acquirer_id, stan, de7, self.rrn, self.card_acceptor_id)

    @property
    def remaining(self) -> str:
        """Of a reversal of a part: the amount that stays, twelve digits; otherwise empty."""
        return self.original[16:]

    @property
    def settles(self) -> str:
        """DE 15 of the answer, MMDD, or empty."""
        return self.settlement_date[5:7] + self.settlement_date[8:]

    @property
    def under_way_until_us(self) -> int:
        """Before this instant the answer has not left; 0 for answers at once, or never."""
        return self.decided_at_us + self.answer_delay_ms * 1_000 if self.answer_delay_ms > 0 else 0

    @property
    def body(self) -> str:
        """The columns that a repeat must share: those of `message_body`, and the original's."""
        columns = (self.mti, self.processing_code, self.amount, self.currency, self.masked_pan)
        return "\t".join((*columns, self.original) if self.original else columns)


def message_key(acquirer_id: str, stan: str, de7: str, rrn: str, card_acceptor_id: str) -> str:
    """What makes two messages the same one: DE 32, 11, 7, 37, 42, as five columns of a line."""
    return f"{acquirer_id}\t{stan}\t{de7}\t{rrn}\t{card_acceptor_id}"


def message_body(mti: str, processing_code: str, amount: str, currency: str, pan: str) -> str:
    """What a message under the same key must repeat, as five columns of a line.

    The repeat digit of the MTI is left out and the card number masked.
    """
    return f"{mti[:3]}0\t{processing_code}\t{amount}\t{currency}\t{shown_pan(pan)}"


def shown_pan(pan: str) -> str:
    """A card number as the record shows it; the codec has seen to it that it is digits."""
    return f"{pan[:6]}******{pan[-4:]}" if len(pan) == 16 else masked_pan(pan)


def format_line(
    decided_at_us: int | str,
    key: str,
    body: str,
    answer: Mapping[int, str],
    answer_delay_ms: int,
    original: str = "",
    settlement_date: str = "",
    held_change: int = 0,
    posted_change: int = 0,
) -> str:
    """One line with its newline; DE 39 and DE 38 come from the answer's fields."""
    return (
        f"{decided_at_us}\t{key}\t{body}\t{answer[39]}\t{answer.get(38, '')}"
        f"\t{answer_delay_ms}\t{original}\t{settlement_date}\t{held_change}\t{posted_change}\n"
    )


def read_journal(path: Path, *, start: int = 0) -> Iterator[Entry]:
    """Read a record, oldest first; a last line without its newline is left out.

    Args:
        path: of the file.
        start: the byte to begin at, where a line does.

    Raises:
        JournalError: a line cannot be read; names its number, counted from `start`.
    """
    with path.open(encoding="ascii", newline="\n") as file:
        file.seek(start)
        for number, line in enumerate(file, start=1):
            if line.endswith("\n"):
                yield _parse(line[:-1], f"{path}: line {number}")


def _parse(line: str, place: str) -> Entry:
    try:
        return Entry.parse(line)
    except ValueError as error:
        raise JournalError(f"{place}: {error}") from None


class Journal:
    """The open record of one network; one process writes it.

    Args:
        path: created if absent, readable by its owner only.

    Raises:
        JournalError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"{path}: {error.strerror}") from error

    def entries(self) -> Iterator[Entry]:
        """Every entry so far, oldest first; to be read before the first `write`.

        A last line that a kill cut short is removed from the file first.

        Raises:
            JournalError: a line cannot be read.
        """
        self._remove_cut_line()
        return read_journal(self._path)

    def _remove_cut_line(self) -> None:
        size = os.fstat(self._fd).st_size
        start = max(0, size - LINE_BYTES_MAX)
        tail = os.pread(self._fd, size - start, start)
        if not tail.endswith(b"\n"):
            os.ftruncate(self._fd, start + tail.rfind(b"\n") + 1)

    def write(self, lines: Sequence[str]) -> None:
        """Append lines in one write.

        Raises:
            JournalError: they did not go in whole; nothing that they decide may be answered.
        """
        data = "".join(lines).encode("ascii")
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            raise JournalError(f"{self._path}: {error.strerror}") from error
        if written != len(data):
            raise JournalError(f"{self._path}: {written} of {len(data)} bytes were written")

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
