"""What can go wrong with the stream, sorted by what the caller may do about it.

Messages name the place (a file and a byte offset, a field of a record) and the reason, never the
data.
"""

from __future__ import annotations

from pathlib import Path

from ledger.errors import LedgerError


class StreamError(LedgerError):
    """Base of everything the stream raises; never raised itself."""


class RecordError(StreamError):
    """Bytes are no record, no descriptor, or do not fit together.

    Attributes:
        place: the field, or the byte offset within the record.
        reason: what is wrong there.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


class BatchError(StreamError):
    """A batch breaks the interface's rules; nothing of it was stored. A mistake of the caller's."""


class StreamFullError(StreamError):
    """There is no room for the batch, nothing of it counts as stored; append it again later."""


class StreamBusyError(StreamError):
    """Another process is the writer of this stream."""


class StreamAbortedError(StreamError):
    """The batch was taken back as a whole, nothing of it is stored; append it again."""


class StreamAwayError(StreamError):
    """The stream's servers do not answer. Whether a batch was stored a new writer tells."""


class StreamFatalError(StreamError):
    """What was written may not be durable, or the stream is another writer's now.

    The process must end and recover anew: after a failed fdatasync nobody knows what the disk
    holds, and asking again would get a false yes.
    """


class StreamFencedError(StreamFatalError):
    """Another process has become the writer of this stream; nothing of the batch is stored."""


class StreamCorruptError(StreamError):
    """What was acknowledged cannot be read back as it was written. Nothing mends this by itself.

    The message names a segment by its number, its file's name without zeros: twenty digits would be
    masked wherever they are shown, as a card number is.

    Attributes:
        file: which file.
        at: where in it: a byte, or whatever `unit` says.
        reason: what is wrong there.
    """

    def __init__(self, file: Path, at: int, reason: str, *, unit: str = "byte") -> None:
        name = f"segment {int(file.stem)}" if file.stem.isdecimal() else file.name
        super().__init__(f"{name} at {unit} {at}: {reason}")
        self.file = file
        self.at = at
        self.reason = reason


class StreamMissingError(StreamError):
    """There is no stream here, or it no longer (or not yet) holds the offset that was asked for."""
