"""Writing segments back from the archive, byte for byte.

A segment gets its name in the folder only when it is whole, durable, and has the SHA-256 and the
records that were signed. A file of that name that is the same is left alone, so a restore that was
broken off is begun again; one that is not is never replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec

from chassis.durable import write_durably
from ledger.archive.errors import ArchiveError, StoreError
from ledger.archive.reading import manifests, read_segment
from ledger.archive.store import Store
from ledger.audit.notes import VerifierKey
from ledger.stream.segments.files import SEALED_MODE, file_digest, segment_path

_FOLDER_MODE = 0o700


class Restored(msgspec.Struct, frozen=True):
    """What a restore wrote, or found there already.

    Attributes:
        segments: how many.
        first_offset: of their first record.
        end_offset: behind their last.
        segment_bytes: of their files.
    """

    segments: int
    first_offset: int
    end_offset: int
    segment_bytes: int


def restore_segments(
    store: Store,
    folder: Path,
    *,
    shard: int,
    key: VerifierKey,
    log_key: VerifierKey,
    begin: int | None,
    end: int | None,
    progress: Callable[[int, int], None],
) -> Restored:
    """Write every segment that has a record in [begin, end).

    Args:
        store: of the archive.
        folder: made if it is not there.
        shard: whose segments.
        key: the archive's.
        log_key: the log's.
        begin: offset of the first record wanted; None: from the oldest one there is.
        end: behind the last one wanted; None: all there are.
        progress: hears how many of how many segments are there.

    Raises:
        ArchiveError: an object is not what was signed, another file stands in the way, or the
            archive does not hold all that is wanted; what was written before stands.
        StoreError: the store cannot be read, or the folder not written.
    """
    known = list(manifests(store, shard=shard, key=key, log_key=log_key))
    oldest, held = (known[0].first_offset, known[-1].end_offset) if known else (0, 0)
    first = oldest if begin is None else begin
    until = held if end is None else end
    if first < oldest or until <= oldest < held:
        raise ArchiveError(f"the archive holds the records from {oldest} on: the others expired")
    if not first < until <= held:
        raise ArchiveError(f"the archive holds the records before {held}")
    wanted = [one for one in known if one.end_offset > first and one.first_offset < until]
    for number, manifest in enumerate(wanted):
        progress(number, len(wanted))
        _put(folder, manifest.first_offset, manifest.segment.sha256, read_segment(store, manifest))
    progress(len(wanted), len(wanted))
    sizes = sum(one.segment.size for one in wanted)
    return Restored(len(wanted), wanted[0].first_offset, wanted[-1].end_offset, sizes)


def _put(folder: Path, first_offset: int, digest: str, data: bytes) -> None:
    path = segment_path(folder, first_offset)
    try:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        if path.exists():
            if file_digest(path).hex() != digest:
                raise ArchiveError(f"{path} is there already, and is another file")
            return
        write_durably(path, data, mode=SEALED_MODE)
        if sha256(path.read_bytes()).hexdigest() != digest:
            raise ArchiveError(f"{path} does not read back as it was written")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
