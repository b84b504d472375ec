"""The network's own record: `<data_dir>/networks/<name>.log`, one line per decided message.

Theory of operation. Every decision is written before its answer may leave, the lines of one batch
in one `write`. Nothing is synchronized to the disk: the record has to survive the process
(`kill -9`), not the machine, and what a process has written the kernel keeps. A line cut short by
such a kill was never answered; the next start removes it. A failed write ends the process: a
network that cannot record what it decides does not decide.

The file is the third witness beside the merchant's HTTP answers and the ledger, so it is readable
by anything: tab-separated columns, no header, no quoting, digits as on the wire. Repeats and
refused duplicates decide nothing and leave no line. A card number appears masked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from msgspec import Struct, convert

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
)
LINE_BYTES_MAX: Final = 256  # every column at its widest makes 190
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
    original: str  # reversals: DE 11 and DE 7 of the original; otherwise empty

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read one line without its newline.

        Raises:
            ValueError: it has other columns than `COLUMNS`.
        """
        columns = line.split("\t")
        if len(columns) != len(COLUMNS):
            raise ValueError(f"{len(columns)} columns instead of {len(COLUMNS)}")
        at_us, *texts, delay_ms, original = columns
        return convert((int(at_us), *texts, int(delay_ms), original), cls)

    @property
    def key(self) -> str:
        """The columns that name the message (`message_key`)."""
        return message_key(self.acquirer_id, self.stan, self.de7, self.rrn, self.card_acceptor_id)

    @property
    def original_key(self) -> str:
        """The key of the message that this reversal names."""
        stan, de7 = self.original[:6], self.original[6:]
        return message_key(self.acquirer_id, stan, de7, self.rrn, self.card_acceptor_id)

    @property
    def body(self) -> str:
        """The columns that a repeat must share, as `message_body` joined them."""
        pan = self.masked_pan
        return f"{self.mti}\t{self.processing_code}\t{self.amount}\t{self.currency}\t{pan}"


def message_key(acquirer_id: str, stan: str, de7: str, rrn: str, card_acceptor_id: str) -> str:
    """What makes two messages the same one: DE 32, 11, 7, 37, 42, as five columns of a line."""
    return f"{acquirer_id}\t{stan}\t{de7}\t{rrn}\t{card_acceptor_id}"


def message_body(mti: str, processing_code: str, amount: str, currency: str, pan: str) -> str:
    """What a message under the same key must repeat, as five columns of a line.

    The repeat digit of the MTI is left out and the card number masked; the codec has seen to it
    that the number is digits.
    """
    shown = f"{pan[:6]}******{pan[-4:]}" if len(pan) == 16 else masked_pan(pan)
    return f"{mti[:3]}0\t{processing_code}\t{amount}\t{currency}\t{shown}"


def format_line(
    decided_at_us: int,
    key: str,
    body: str,
    answer: Mapping[int, str],
    answer_delay_ms: int,
    *,
    original: str = "",
) -> str:
    """One line with its newline; DE 39 and DE 38 come from the answer's fields."""
    return (
        f"{decided_at_us}\t{key}\t{body}\t{answer[39]}\t{answer.get(38, '')}"
        f"\t{answer_delay_ms}\t{original}\n"
    )


def read_journal(path: Path) -> Iterator[Entry]:
    """Read a whole record, oldest first; a last line without its newline is left out.

    Raises:
        JournalError: a line cannot be read; names its number.
    """
    with path.open(encoding="ascii", newline="\n") as file:
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

    def recent(self, count_max: int, *, since_us: int = 0) -> list[Entry]:
        """The last entries decided since then, oldest first.

        A last line that a kill cut short is removed from the file first.

        Raises:
            JournalError: a line cannot be read.
        """
        size = os.fstat(self._fd).st_size
        start = max(0, size - (count_max + 1) * LINE_BYTES_MAX)
        tail = os.pread(self._fd, size - start, start)
        whole = tail.rfind(b"\n") + 1
        if whole < len(tail):
            os.ftruncate(self._fd, start + whole)
        lines = tail[:whole].decode("ascii").split("\n")[:-1]
        if start:
            lines = lines[1:]  # the first one may have begun before `start`
        entries = [_parse(line, str(self._path)) for line in lines[-count_max:]]
        return [entry for entry in entries if entry.decided_at_us >= since_us]

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
