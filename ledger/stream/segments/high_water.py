"""How much of a stream is durable: one small file that the writer overwrites and readers watch.

Theory of operation
-------------------
After each fdatasync the writer puts one number record into `high-water`, with a single pwrite and
without syncing it: it need not outlive the machine, because it is published only when what it tells
of is durable, and after a crash a value that is too low costs nothing but a look at the newest
segment. Readers look at it with one pread. They hear of a change from the kernel (inotify), across
users and without a connection to the writer, so that a reader that is idle costs nothing, and a
writer does not know its readers.

44 bytes: magic "TURNHW01", epoch, next offset, first offset of the newest segment, bytes of that
segment that are durable (8 bytes each, big-endian), CRC32C of the 40 before. A reader that meets
the writer half-way sees a wrong CRC and looks again.
"""

from __future__ import annotations

import os
from pathlib import Path
from struct import Struct as Layout
from typing import Final

import google_crc32c
import msgspec

from chassis.durable import sync_folder
from ledger.stream.errors import StreamCorruptError
from ledger.stream.segments.files import FILE_MODE

NAME: Final = "high-water"
_MAGIC: Final = b"TURNHW01"
_FIELDS: Final = Layout(">8sQQQQ")
_CRC: Final = Layout(">I")
SIZE: Final = _FIELDS.size + _CRC.size
_LOOKS_MAX: Final = 100  # each a microsecond; the writer is in the way for less than one


class HighWater(msgspec.Struct, frozen=True, gc=False):
    """What is durable.

    Attributes:
        epoch: of the writer that said so.
        next_offset: how many records there are.
        segment: first offset of the newest segment.
        end: bytes of it that count; those before it count as a whole.
    """

    epoch: int
    next_offset: int
    segment: int
    end: int


class HighWaterFile:
    """The file, opened by the writer to publish or by a reader to look."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def to_publish(cls, folder: Path) -> HighWaterFile:
        """Open it for the writer; it is made where it is missing."""
        path = folder / NAME
        is_new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        if is_new:
            os.fchmod(descriptor, FILE_MODE)
            sync_folder(folder)
        return cls(path, descriptor)

    @classmethod
    def to_look(cls, folder: Path) -> HighWaterFile:
        """Open it for a reader.

        Raises:
            OSError: there is none, or it is not ours to read.
        """
        path = folder / NAME
        return cls(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def publish(self, value: HighWater) -> None:
        """Tell the readers; what it says must be durable already."""
        fields = _FIELDS.pack(_MAGIC, value.epoch, value.next_offset, value.segment, value.end)
        os.pwrite(self._descriptor, fields + _CRC.pack(google_crc32c.value(fields)), 0)

    def look(self) -> HighWater | None:
        """What is durable now; None if nothing was ever published.

        Raises:
            StreamCorruptError: the file holds something else.
        """
        data = b""
        for _ in range(_LOOKS_MAX):
            data = os.pread(self._descriptor, SIZE, 0)
            if not data:
                return None
            if len(data) == SIZE and _is_whole(data):
                return HighWater(*_FIELDS.unpack_from(data)[1:])
        if not any(data):  # its name outlived a crash of the machine, its bytes did not
            return None
        raise StreamCorruptError(self._path, 0, "does not match its CRC")

    def is_replaced(self) -> bool:
        """Whether another file has its name by now; not while nothing has."""
        try:
            named = os.stat(self._path)  # noqa: PTH116  once a look, and twice as fast
        except OSError:
            return False
        return not os.path.samestat(named, os.fstat(self._descriptor))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _is_whole(data: bytes) -> bool:
    fields = data[: _FIELDS.size]
    return data.startswith(_MAGIC) and _CRC.unpack_from(data, _FIELDS.size)[
        0
    ] == google_crc32c.value(fields)
