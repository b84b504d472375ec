"""What a stream is to those who write and read it, whatever keeps it.

Two sides, and nothing is shared between them but what is durable:

- One *writer* a stream: the relay. It appends batches; a batch is in the stream as a whole or not
  at all, and is durable when `append` returns. The mark that comes with a batch is stored with it,
  in the same step, so after any death `open` tells exactly which transactions the stream holds.
- Any number of *readers*, in other processes. A cursor says, per partition, the offset of the next
  record wanted; where cursors are kept is each consumer's business (`ledger.stream.cursors`).

A batch may be a mark alone: what lies between was nobody's business, and need not be read again.
A transaction too large for one batch goes into several, all but the last under the mark before it;
after a death in between, `Writer.last` tells which of its records are there already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, Self

import msgspec

from ledger.stream.record import Mark, Position

Cursor = Mapping[int, int]  # partition -> offset of the next record wanted
START: Cursor = {}  # a partition that is not named is read from its first record


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What is appended in one step.

    Attributes:
        records: in the order of their commits; each as `ledger.stream.record` lays it out.
        descriptors: relation messages that this writer has not been given since it was opened.
        mark: what the stream has taken in once this batch is there.
    """

    records: Sequence[bytes]
    descriptors: Sequence[bytes]
    mark: Mark


class Page(msgspec.Struct, frozen=True, gc=False):
    """What one read found; empty when nothing came within the reader's wait.

    Attributes:
        records: (partition, offset, record), in the order of each partition.
        descriptors: at least those of these records, by `descriptor_id`.
        cursor: where the next read goes on.
        mark: what the stream had taken in with the last batch that is whole up to `cursor`; None
            where none ends in this page, or the back end does not tell.
    """

    records: list[tuple[int, int, bytes]]
    descriptors: Mapping[bytes, bytes]
    cursor: Cursor
    mark: Mark | None = None


class Writer(Protocol):
    """The one writer of a stream. Not for use by two tasks at once."""

    @property
    def next_offset(self) -> int:
        """The offset that the next record will get: how many records the stream has had."""

    @property
    def last(self) -> Position | None:
        """Where the last record came from; None while there is none."""

    async def open(self) -> Mark | None:
        """Become the writer, mend what a death left half done, and tell how far the stream is.

        Returns None for a stream that has never been written to.

        Raises:
            StreamBusyError: another process is the writer. (Kafka knows no such refusal: there
                the newcomer is the writer, and whoever was it before hears so at its next append.)
            StreamAwayError: it cannot be reached now.
            StreamCorruptError: what was acknowledged is damaged or missing.
            StreamFullError: there is no room to begin.
        """

    async def append(self, batch: Batch) -> int:
        """Store a batch; durable when this returns, and read soon after. Returns the next offset.

        Raises:
            BatchError: it is empty and moves no mark, is too large, or holds a record whose
                descriptor nobody has given. Nothing was stored.
            StreamFullError: no room now. Nothing was stored; append the same batch later.
            StreamAbortedError: nothing was stored; append the same batch again.
            StreamAwayError: nobody knows whether it was stored. Open a new writer, which does.
            StreamFencedError: another process has become the writer; nothing was stored.
            StreamFatalError: the process must end.
        """

    async def aclose(self) -> None:
        """Let go of the stream; what was appended stays."""


class Reader(Protocol):
    """A reader of a stream, for one task. Used as a context manager, to let go of its files."""

    async def read(self, cursor: Cursor, records_max: int, bytes_max: int) -> Page:
        """Return what follows `cursor`, at most so much of it, but one record at least.

        Waits until there is a record, or for the reader's wait limit: then the page is empty.
        Nothing that is not durable is returned.

        Raises:
            StreamCorruptError: what follows cannot be read as it was written.
            StreamMissingError: the stream no longer holds what was asked for.
        """

    async def high_water(self) -> Cursor:
        """The cursor behind everything that is durable now."""

    async def __aenter__(self) -> Self:
        """Open it."""

    async def __aexit__(self, *_: object) -> None:
        """Let go of what it holds open."""
