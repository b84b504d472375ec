"""The files of a stream's folder, and how they are made, sealed and put away.

    <data_dir>/stream/<shard>/
        00000000000000000000.seg   a sealed segment, read-only; named by its first offset
        00000000000000184311.seg   the newest one, written to
        spare                      the next one, its space allocated: what a full disk leaves us
        high-water                 how much is durable (`high_water`)
        lock                       held by the writer; its epoch (`lock`)

The folder belongs to the relay's user; its group may read: consumers are in it. Names become
durable by an fsync of the folder, and a segment gets its name only when its header is durable, so
a segment with a broken header is never a leftover of a death.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from chassis.durable import NO_ROOM, sync_folder
from ledger.stream.errors import StreamFullError
from ledger.stream.segments.format import Header, encode_header

FOLDER: Final = "stream"
FOLDER_MODE: Final = 0o750
FILE_MODE: Final = 0o640
SEALED_MODE: Final = 0o440
SPARE: Final = "spare"
SUFFIX: Final = ".seg"
_DIGITS: Final = 20


def shard_folder(data_dir: Path, shard: int) -> Path:
    """Where the segments of a shard's stream lie."""
    return data_dir / FOLDER / str(shard)


def segment_path(folder: Path, first_offset: int) -> Path:
    """The file of the segment that begins at an offset."""
    return folder / f"{first_offset:0{_DIGITS}}{SUFFIX}"


def list_segments(folder: Path) -> list[int]:
    """The first offsets of all segments, in order.

    Raises:
        OSError: the folder cannot be read.
    """
    names = (path.name for path in folder.iterdir())
    stems = (name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))
    return sorted(int(stem) for stem in stems if len(stem) == _DIGITS and stem.isdecimal())


def no_room(error: OSError) -> bool:
    """Whether a file could not grow for want of room, which passes."""
    return error.errno in NO_ROOM


def make_spare(folder: Path, size: int) -> None:
    """Allocate the next segment's space ahead of need.

    Raises:
        StreamFullError: there is no room; nothing is left behind.
        OSError: it cannot be made for another reason.
    """
    path = folder / SPARE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)  # whatever the umask says
        os.posix_fallocate(descriptor, 0, size)
        os.fsync(descriptor)
    except OSError as error:
        path.unlink()
        if no_room(error):
            raise StreamFullError("no room on the disk for another segment") from None
        raise
    finally:
        os.close(descriptor)


def begin_segment(folder: Path, header: Header) -> int:
    """Turn the spare into the next segment, durable and with its name; returns its descriptor.

    Raises:
        FileNotFoundError: there is no spare.
    """
    spare = folder / SPARE
    descriptor = os.open(spare, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, encode_header(header), 0)
        os.fsync(descriptor)
        spare.rename(segment_path(folder, header.first_offset))
        sync_folder(folder)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def put_away(descriptor: int, length: int) -> None:
    """Cut a sealed segment to its length and take the right to write to it away; durable."""
    os.ftruncate(descriptor, length)
    os.fchmod(descriptor, SEALED_MODE)
    os.fsync(descriptor)


def cut_tail(descriptor: int, end: int, size: int) -> None:
    """Make everything behind a segment's last frame zeros again; durable.

    Raises:
        StreamFullError: its space cannot be allocated anew.
    """
    os.ftruncate(descriptor, end)
    try:
        os.posix_fallocate(descriptor, 0, max(size, end))
    except OSError as error:
        if no_room(error):
            raise StreamFullError("no room on the disk to mend the newest segment") from None
        raise
    os.fsync(descriptor)


def file_digest(path: Path) -> bytes:
    """SHA-256 of a whole file, as `sha256sum` computes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def read_at(descriptor: int, size: int, at: int) -> bytes:
    """Read `size` bytes, or what there is up to the end of the file."""
    data = os.pread(descriptor, size, at)
    while 0 < len(data) < size:
        more = os.pread(descriptor, size - len(data), at + len(data))
        if not more:
            break
        data += more
    return data


def write_at(descriptor: int, data: bytes, at: int) -> None:
    """Write all of `data`."""
    written = os.pwrite(descriptor, data, at)
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], at + written)
