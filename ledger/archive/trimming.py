"""Removing archived segments from the stream: `turnout archive run`, after archiving.

Theory of operation
-------------------
Segments go oldest first, one at a time, and never the newest two: the writer looks at those when it
starts. A segment may go when

- it has been archived for `archive.stream_days`,
- every consumer is past it, and no event of it is parked,
- the archive's objects, read back now, make the segment again, byte for byte, and every manifest up
  to it leads to what the log has signed,
- no legal hold is on it.

The first that may not go ends it, with the reason. One that may goes in four steps, each of which
may be the last before a death:

1. the catalog notes that it is being removed;
2. the stream's head is signed and written anew: from here on verifications do without the segment;
3. its file is removed;
4. the catalog notes that it was.

A run begins with what another left undone: files before the head have passed every check, and only
wait for 3 and 4, and for a last look at the holds (`ledger.archive.last_look`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path

import msgspec
from attrs import field, frozen

from chassis.crash_points import (
    ARCHIVE_HEAD,
    ARCHIVE_REMOVED,
    ARCHIVE_REMOVING,
    reach,
)
from chassis.durable import sync_folder, write_durably
from ledger.archive.catalog import (
    REMOVED,
    REMOVING,
    Entry,
    add_entry,
    archived,
    noted,
    read_catalog,
)
from ledger.archive.contents import OwnersOf
from ledger.archive.errors import ArchiveError, StoreError
from ledger.archive.holds import Register
from ledger.archive.last_look import last_look
from ledger.archive.manifest import Manifest
from ledger.archive.reading import manifests, read_segment
from ledger.archive.signed import read_document, sign_document
from ledger.archive.store import Store
from ledger.audit.keys import KeyPair
from ledger.audit.notes import VerifierKey
from ledger.stream.segments.files import list_segments, segment_path
from ledger.stream.segments.trim import FORMAT, NAME, Head

DAY_US = 86_400_000_000
_READABLE = 0o644  # a note: the stream's readers are told by it where to look
_KEPT_AT_LEAST = 2

Progress = Callable[[int, int], None]
Consumers = Mapping[str, int]  # who, and from which offset on the stream is still needed


class Trimmed(msgspec.Struct, frozen=True):
    """What was removed, or would be.

    Attributes:
        segments: their first offsets.
        end_offset: behind the last of them; 0 if there are none.
        freed_bytes: of their files.
        kept: why the next one stays; empty if none is left that could go.
    """

    segments: list[int]
    end_offset: int
    freed_bytes: int
    kept: str


@frozen(kw_only=True)
class Trimmer:
    """Removes the segments of one shard. Blocking; one at a time, by the caller's lock.

    Attributes:
        stream: the folder of the segments.
        work: the folder of the catalog.
        store: the archive.
        url: how the stream's readers are told of it.
        pair: the archive's key.
        log_key: the log's.
        holds: what may not go.
        owners_of: whose payments are whose, where the segments do not tell.
        days: how long a segment stays after it was archived.
        now_us: the wall clock.
        shard: whose stream.
    """

    stream: Path
    work: Path
    store: Store
    url: str
    pair: KeyPair
    log_key: VerifierKey
    holds: Register
    owners_of: OwnersOf
    days: float
    now_us: Callable[[], int]
    shard: int = field(default=0)

    def run(self, consumers: Consumers | str, progress: Progress, *, dry: bool) -> Trimmed:
        """Remove what may go.

        Args:
            consumers: from which offset on each needs the stream; or why nobody can tell.
            progress: hears how many of how many segments are done.
            dry: only tell.

        Raises:
            ArchiveError: an object or a note is not what was signed; what went before is gone.
            StoreError: the store cannot be read, or the folders not be written, now.
            OSError: the stream cannot be read.
        """
        if held := self._take_up(dry=dry):
            return Trimmed([], 0, 0, held)
        head = self._head()
        begin = head.first_offset if head else 0
        segments = [one for one in list_segments(self.stream) if one >= begin]
        candidates = segments[:-_KEPT_AT_LEAST]
        done = archived(read_catalog(self.work))
        known: Iterator[Manifest] = iter(())
        removed: list[int] = []
        freed = end = 0
        kept = ""
        for number, first_offset in enumerate(candidates):
            progress(number, len(candidates))
            entry = done.get(first_offset)
            kept = self._too_early(first_offset, entry) or _behind(entry, consumers)
            if kept or entry is None:
                break
            if not removed:
                known = self._manifests()
            manifest = self._manifest_of(first_offset, known)
            path = segment_path(self.stream, first_offset)
            size = path.stat().st_size
            kept = self._remove(path, manifest, dry=dry)
            if kept:
                break
            removed.append(first_offset)
            freed, end = freed + size, manifest.end_offset
        progress(len(candidates), len(candidates))
        return Trimmed(removed, end, freed, kept)

    # --------------------------------------------------------------------------- may it go?

    def _too_early(self, first_offset: int, entry: Entry | None) -> str:
        if entry is None:
            return f"segment {first_offset} is not archived yet"
        left_us = entry.at_us + round(self.days * DAY_US) - self.now_us()
        if left_us > 0:
            return (
                f"segment {first_offset} was archived less than {self.days:g} days ago "
                "(archive.stream_days)"
            )
        return ""

    def _manifests(self) -> Iterator[Manifest]:
        return manifests(self.store, shard=self.shard, key=self.pair.public, log_key=self.log_key)

    def _manifest_of(self, first_offset: int, known: Iterator[Manifest]) -> Manifest:
        """The next manifest, which is the segment's; those before it are read on the way."""
        for manifest in known:
            if manifest.first_offset == first_offset:
                return manifest
        raise ArchiveError(f"the archive has no segment {first_offset} any more")

    def _remove(self, path: Path, manifest: Manifest, *, dry: bool) -> str:
        """Read a segment back and remove it; or say why it stays."""
        data = read_segment(self.store, manifest)
        first = manifest.first_offset
        if sha256(path.read_bytes()).digest() != sha256(data).digest():
            raise ArchiveError(f"{path} is not the segment {first} that was archived")
        with self._last_look(lambda: data, first, dry=dry) as held:
            if not held and not dry:
                self._go(path, manifest)
        return held

    def _last_look(
        self, read: Callable[[], bytes], first_offset: int, *, dry: bool
    ) -> AbstractContextManager[str]:
        return last_look(
            self.holds, self.owners_of, read, shard=self.shard, first_offset=first_offset, dry=dry
        )

    # --------------------------------------------------------------------------- it goes

    def _go(self, path: Path, manifest: Manifest) -> None:
        self._note(REMOVING, manifest.first_offset, manifest.end_offset)
        reach(ARCHIVE_REMOVING)
        head = Head(
            format=FORMAT,
            shard=self.shard,
            first_offset=manifest.end_offset,
            predecessor=manifest.segment.sha256,
            removed_at_us=self.now_us(),
            archive=self.url,
        )
        try:
            note = sign_document(head, self.pair.public, self.pair)
            write_durably(self.stream / NAME, note, mode=_READABLE)
        except OSError as error:
            raise StoreError(f"cannot write {self.stream / NAME}: {error.strerror}") from error
        reach(ARCHIVE_HEAD)
        self._unlink(path)
        reach(ARCHIVE_REMOVED)
        self._note(REMOVED, manifest.first_offset, manifest.end_offset)

    def _take_up(self, *, dry: bool) -> str:
        """End what another run began: files before the head, and lines that are missing.

        Or say why something stays after all.
        """
        head = self._head()
        if head is None:
            return ""
        entries = read_catalog(self.work)
        done = archived(entries)
        for first_offset in list_segments(self.stream):
            if first_offset >= head.first_offset:
                continue
            path = segment_path(self.stream, first_offset)
            with self._last_look(path.read_bytes, first_offset, dry=dry) as held:
                if held:
                    return held
                if not dry:
                    self._unlink(path)
        for first_offset in noted(entries, REMOVING) - noted(entries, REMOVED):
            if first_offset < head.first_offset and not dry:
                self._note(REMOVED, first_offset, done[first_offset].end_offset)
        return ""

    def _unlink(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
            sync_folder(self.stream)
        except OSError as error:
            raise StoreError(f"cannot remove {path}: {error.strerror}") from error

    def _note(self, step: str, first_offset: int, end_offset: int) -> None:
        add_entry(self.work, Entry(step, first_offset, end_offset, self.now_us(), ""))

    def _head(self) -> Head | None:
        """The stream's head, as this archive signed it."""
        path = self.stream / NAME
        if not path.exists():
            return None
        try:
            head = read_document(path.read_bytes(), self.pair.public, Head)
        except ArchiveError as error:
            raise ArchiveError(f"{path}: {error}") from error
        if (head.format, head.shard) != (FORMAT, self.shard):
            raise ArchiveError(f"{path} is no head of this shard's stream")
        return head


def _behind(entry: Entry | None, consumers: Consumers | str) -> str:
    """Say which consumer still needs a segment."""
    if entry is None:
        return ""
    if isinstance(consumers, str):
        return f"nobody can tell how far the consumers are: {consumers}"
    for who, needed in sorted(consumers.items(), key=lambda one: one[1]):
        if needed < entry.end_offset:
            return (
                f"{who} still needs the stream from record {needed} on, in or before segment "
                f"{entry.first_offset}"
            )
    return ""
