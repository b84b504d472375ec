"""Archiving sealed segments: `turnout archive run`.

Theory of operation
-------------------
A segment's way into the archive has five steps, each of which may be the last before a death, and
each of which may be done again:

1. both tables are written beside the catalog, read back, and the segment is put together again
   from what was read: it must have the same SHA-256, and its records the hashes that the log has;
2. the records are stored, if no object of this name is there;
3. the frames likewise;
4. what the store holds now, whoever stored it, is read back and held to the segment in the same
   way; then the manifest that tells its digests is signed and stored. From here on the segment
   counts as archived;
5. the catalog notes it.

A run that finds a manifest without a line in the catalog goes through 4 again but for the
signing. An object is never replaced: one that cannot be held to its segment stops the run, named.

Only what the log has signed is archived: what lies behind its last checkpoint waits.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
from attrs import frozen

from chassis.crash_points import (
    ARCHIVE_FRAMES,
    ARCHIVE_MANIFEST,
    ARCHIVE_RECORDS,
    ARCHIVE_WRITTEN,
    reach,
)
from ledger.archive.catalog import ARCHIVED, Entry, add_entry, archived, read_catalog
from ledger.archive.errors import ArchiveError, StoreError
from ledger.archive.manifest import (
    FORMAT,
    FRAMES,
    MANIFEST,
    RECORDS,
    Manifest,
    ObjectDigest,
    object_name,
    read_manifest,
    sign_manifest,
)
from ledger.archive.parquet import read_frames, read_records, write_frames, write_records
from ledger.archive.sealed import Sealed, put_together, take_apart
from ledger.archive.store import Store
from ledger.archive.subtrees import cut_range, range_hashes
from ledger.audit.keys import KeyPair
from ledger.audit.level_files import LevelFiles
from ledger.audit.levels import nodes_from
from ledger.audit.log import CHECKPOINT, LEVELS
from ledger.audit.merkle import consistency_proof, range_hash
from ledger.audit.notes import Checkpoint, Note, VerifierKey
from ledger.stream.segments.files import list_segments, segment_path

Progress = Callable[[int, int], None]


class Archived(msgspec.Struct, frozen=True):
    """What a run did.

    Attributes:
        segments: archived by this run.
        records: in them.
        segment_bytes: of their files.
        stored_bytes: of their objects, manifests not counted.
        unsigned: sealed segments that wait for the log's signature.
    """

    segments: int = 0
    records: int = 0
    segment_bytes: int = 0
    stored_bytes: int = 0
    unsigned: int = 0


@frozen(kw_only=True)
class Archiver:
    """Archives the segments of one shard. Blocking; one at a time, by the caller's lock.

    Attributes:
        stream: the folder of the segments.
        log: the folder of the audit log.
        log_key: its public key.
        pair: the archive's key.
        store: where the objects go.
        work: the folder of catalog and unfinished files.
        now_us: the wall clock.
        shard: whose stream.
    """

    stream: Path
    log: Path
    log_key: VerifierKey
    pair: KeyPair
    store: Store
    work: Path
    now_us: Callable[[], int]
    shard: int = 0

    def run(self, progress: Progress) -> Archived:
        """Archive every sealed segment that is signed and not archived yet.

        Raises:
            ArchiveError: a segment or an object cannot be believed; those before it are archived.
            StoreError: the store or the disk has no room, or cannot be reached; run again.
            LevelFileError, NoteError: the log's files are damaged.
            OSError: the stream or the log cannot be read.
        """
        done = archived(read_catalog(self.work))
        waiting = [one for one in sealed_segments(self.stream) if one not in done]
        note, checkpoint = self._checkpoint()
        result = Archived()
        for number, first_offset in enumerate(waiting):
            progress(number, len(waiting))
            path = segment_path(self.stream, first_offset)
            segment = take_apart(path.read_bytes(), shard=self.shard, first_offset=first_offset)
            if segment.end_offset > checkpoint.size:
                return msgspec.structs.replace(result, unsigned=len(waiting) - number)
            manifest = self._archive(segment, note, checkpoint)
            result = Archived(
                result.segments + 1,
                result.records + len(segment.records),
                result.segment_bytes + segment.size,
                result.stored_bytes + manifest.records.size + manifest.frames.size,
            )
        progress(len(waiting), len(waiting))
        return result

    def _checkpoint(self) -> tuple[bytes, Checkpoint]:
        path = self.log / CHECKPOINT
        try:
            note = path.read_bytes()
        except FileNotFoundError:
            raise ArchiveError("the audit log has signed nothing yet") from None
        parsed = Note.parse(note)
        parsed.check(self.log_key)
        return note, Checkpoint.parse(parsed.text)

    # ------------------------------------------------------------------------- one segment

    def _archive(self, segment: Sealed, note: bytes, checkpoint: Checkpoint) -> Manifest:
        name = object_name(self.shard, segment.header.first_offset, MANIFEST)
        stored = self.store.get(name)
        if stored is None:
            self._store_tables(segment)
            manifest = self._manifest(segment, note, checkpoint)
            stored = sign_manifest(manifest, self.pair.public, self.pair)
            self.store.put_new(name, stored)
            reach(ARCHIVE_MANIFEST)
            if self.store.get(name) != stored:
                raise ArchiveError(f"{self.store.place(name)} does not read back as it was stored")
        else:
            manifest = self._held(segment, stored, name)
        entry = Entry(
            ARCHIVED,
            manifest.first_offset,
            manifest.end_offset,
            self.now_us(),
            sha256(stored).hexdigest(),
        )
        add_entry(self.work, entry)
        return manifest

    def _store_tables(self, segment: Sealed) -> None:
        """Steps 1 to 3."""
        tables = {}
        try:
            for kind, write in ((RECORDS, write_records), (FRAMES, write_frames)):
                path = self.work / f"{kind}.new"
                write(segment, path)
                tables[kind] = path.read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(f"cannot write in {self.work}: {reason}") from error
        check_tables(segment, tables[RECORDS], tables[FRAMES], str(self.work))
        reach(ARCHIVE_WRITTEN)
        for kind, point in ((RECORDS, ARCHIVE_RECORDS), (FRAMES, ARCHIVE_FRAMES)):
            name = object_name(self.shard, segment.header.first_offset, kind)
            self.store.put_new(name, tables[kind])
            reach(point)
        for kind in tables:
            (self.work / f"{kind}.new").unlink()

    def _manifest(self, segment: Sealed, note: bytes, checkpoint: Checkpoint) -> Manifest:
        """Step 4: hold what is stored to the segment, the segment to the log, and tell of all."""
        first, end = segment.header.first_offset, segment.end_offset
        records, frames = self._stored_tables(segment)
        hashes = range_hashes(segment.records, first)
        with LevelFiles(self.log / LEVELS) as levels:
            nodes = nodes_from(levels.read)
            kept = [nodes(level, index) for level, index in cut_range(first, end)]
            if kept != hashes:
                raise ArchiveError(f"segment {first} does not have the records that the log has")
            prefix_root = range_hash(nodes, 0, end)
            proof = consistency_proof(nodes, end, checkpoint.size)
        return Manifest(
            format=FORMAT,
            origin=checkpoint.origin,
            shard=self.shard,
            first_offset=first,
            end_offset=end,
            created_at_us=segment.header.created_at_us,
            archived_at_us=self.now_us(),
            predecessor=segment.header.predecessor.hex(),
            segment=ObjectDigest(segment.size, segment.digest.hex()),
            records=digest_of(records),
            frames=digest_of(frames),
            range_hashes=hashes,
            prefix_root=prefix_root,
            checkpoint=note.decode(),
            consistency=proof,
        )

    def _held(self, segment: Sealed, stored: bytes, name: str) -> Manifest:
        """Hold the store's objects to the segment, and the manifest to both."""
        first = segment.header.first_offset
        try:
            manifest = read_manifest(stored, self.pair.public, self.shard, first)
        except ArchiveError as error:
            raise ArchiveError(f"{self.store.place(name)}: {error}") from error
        records, frames = self._stored_tables(segment)
        found = (digest_of(records), digest_of(frames), manifest.segment.sha256)
        if found != (manifest.records, manifest.frames, segment.digest.hex()):
            raise ArchiveError(f"{self.store.place(name)} is not of the objects beside it")
        return manifest

    def _stored_tables(self, segment: Sealed) -> tuple[bytes, bytes]:
        """Both tables as the store has them, which must be the segment's."""
        first = segment.header.first_offset
        records, frames = (self._stored(first, kind) for kind in (RECORDS, FRAMES))
        place = self.store.place(object_name(self.shard, first, ""))
        check_tables(segment, records, frames, place)
        return records, frames

    def _stored(self, first_offset: int, kind: str) -> bytes:
        name = object_name(self.shard, first_offset, kind)
        data = self.store.get(name)
        if data is None:
            raise ArchiveError(f"{self.store.place(name)} is missing")
        return data


def sealed_segments(stream: Path) -> list[int]:
    """The first offsets of the segments that another follows: those are sealed for good.

    Raises:
        OSError: the folder cannot be read.
    """
    return list_segments(stream)[:-1]


def digest_of(data: bytes) -> ObjectDigest:
    """Length and SHA-256."""
    return ObjectDigest(len(data), sha256(data).hexdigest())


def check_tables(segment: Sealed, records: bytes, frames: bytes, place: str) -> None:
    """Put a segment together from both tables, and compare.

    Raises:
        ArchiveError: it is another one; names the place.
    """
    first = segment.header.first_offset
    try:
        read = read_records(records, first)
        again = put_together(segment.header, read_frames(frames), read)
    except ArchiveError as error:
        raise ArchiveError(f"{place} of segment {first}: {error}") from error
    if len(read) != len(segment.records) or sha256(again).digest() != segment.digest:
        raise ArchiveError(f"{place}: segment {first} does not read back as it is")
