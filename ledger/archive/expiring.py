"""Removing what was archived long enough: `turnout archive run`, last of all.

Theory of operation
-------------------
Segments go oldest first, and never the newest one. One may go when

- its manifest was signed `archive.retention_days` ago, and the stream does not have it any more;
- its objects are still what was signed;
- every payment that it tells of has left the tables: rows must be held to something;
- no legal hold is on it.

The first that may not go ends it, with the reason. Then, each step durable:

1. the catalog notes that it is going;
2. `begin.note` is stored beside the segment behind it (`ledger.archive.begin`): from here on the
   archive is whole without the segment;
3. its objects are removed, the manifest last;
4. the catalog notes that it went.

A run begins with what another left undone: objects before the archive's begin, and missing lines.
A hold that came meanwhile keeps them. Removing needs the right to delete; a store that locks
objects refuses it until the lock is over, and the archive begins behind them all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

import msgspec
from attrs import frozen

from chassis.crash_points import ARCHIVE_BEGIN, ARCHIVE_EXPIRED, ARCHIVE_EXPIRING, reach
from ledger.archive.begin import BEGIN, find_begin, store_begin
from ledger.archive.catalog import EXPIRED, EXPIRING, Entry, add_entry, noted, read_catalog
from ledger.archive.contents import OwnersOf, still_needed
from ledger.archive.errors import ArchiveError, ObjectError, StoreError
from ledger.archive.holds import Register
from ledger.archive.last_look import last_look
from ledger.archive.manifest import (
    FRAMES,
    MANIFEST,
    RECORDS,
    Manifest,
    first_offset_of,
    object_name,
    read_manifest,
)
from ledger.archive.reading import manifests, read_segment
from ledger.archive.sealed import take_apart
from ledger.archive.store import Store
from ledger.archive.trimming import DAY_US
from ledger.audit.keys import KeyPair
from ledger.audit.notes import VerifierKey
from ledger.ids import public_id
from ledger.stream.segments.files import list_segments

_ORDER: Final = (RECORDS, FRAMES, BEGIN, MANIFEST)  # in which objects go

Progress = Callable[[int, int], None]
IsGone = Callable[[bytes], bool]  # whether a payment has left the tables


class Expired(msgspec.Struct, frozen=True):
    """What was removed, or would be.

    Attributes:
        segments: their first offsets.
        end_offset: behind the last of them; 0 if there are none.
        kept: why the next one stays; empty if none is left that could go.
    """

    segments: list[int]
    end_offset: int
    kept: str


@frozen(kw_only=True)
class Expirer:
    """Removes the archived segments of one shard. Blocking; one at a time, by the caller's lock.

    Attributes:
        stream: the folder of the stream's segments.
        work: the folder of the catalog.
        store: the archive.
        pair: its key.
        log_key: the log's.
        holds: what may not go.
        owners_of: whose payments are whose, where the segments do not tell.
        days: how long a segment stays in the archive.
        now_us: the wall clock.
        shard: whose.
    """

    stream: Path
    work: Path
    store: Store
    pair: KeyPair
    log_key: VerifierKey
    holds: Register
    owners_of: OwnersOf
    days: float
    now_us: Callable[[], int]
    shard: int = 0

    def run(self, is_gone: IsGone | str, progress: Progress, *, dry: bool) -> Expired:
        """Remove what may go.

        Args:
            is_gone: which payments have left the tables; or why nobody can tell.
            progress: hears how many of how many segments are done.
            dry: only tell.

        Raises:
            ArchiveError: an object or a note is not what was signed; what went before is gone.
            StoreError: the store cannot be read or written, or refuses to remove something.
            OSError: the stream cannot be read.
        """
        names = self.store.names(f"{self.shard}/")
        begin = find_begin(self.store, names, self.shard, self.pair.public)
        if kept := self._take_up(names, begin.first_offset, dry=dry):
            return Expired([], 0, kept)
        if isinstance(is_gone, str):
            return Expired([], 0, f"nobody can tell what the tables still have: {is_gone}")
        prefix = begin.prefix()
        there = list(
            manifests(self.store, shard=self.shard, key=self.pair.public, log_key=self.log_key)
        )
        gone: list[int] = []
        end, kept = 0, ""
        for number, manifest in enumerate(there[:-1]):
            progress(number, len(there))
            kept = self._too_early(manifest)
            if not kept:
                prefix.extend(manifest.end_offset, manifest.range_hashes)
                kept = self._remove(manifest, prefix.peaks, is_gone, dry=dry)
            if kept:
                break
            gone.append(manifest.first_offset)
            end = manifest.end_offset
        progress(len(there), len(there))
        return Expired(gone, end, kept)

    def _too_early(self, manifest: Manifest) -> str:
        first = manifest.first_offset
        if manifest.archived_at_us + round(self.days * DAY_US) > self.now_us():
            return (
                f"segment {first} was archived less than {self.days:g} days ago "
                "(archive.retention_days)"
            )
        if first in list_segments(self.stream):
            return f"segment {first} is still in the stream (archive.stream_days)"
        return ""

    def _remove(
        self, manifest: Manifest, peaks: list[tuple[int, bytes]], is_gone: IsGone, *, dry: bool
    ) -> str:
        """Remove a segment that is as it was signed; or say why it stays."""
        data = read_segment(self.store, manifest)
        first = manifest.first_offset
        taken = take_apart(data, shard=self.shard, first_offset=first)
        if (payment := still_needed(taken, is_gone)) is not None:
            return (
                f"segment {first} tells of {public_id('pi', payment)}, which the tables still have"
            )
        with self._last_look(lambda: data, manifest.first_offset, dry=dry) as held:
            if not held and not dry:
                self._note(EXPIRING, first, manifest.end_offset)
                reach(ARCHIVE_EXPIRING)
                store_begin(self.store, self.pair, manifest, peaks, self.now_us())
                reach(ARCHIVE_BEGIN)
                self._remove_objects(first)
                reach(ARCHIVE_EXPIRED)
                self._note(EXPIRED, first, manifest.end_offset)
        return held

    def _last_look(
        self, read: Callable[[], bytes], first_offset: int, *, dry: bool
    ) -> AbstractContextManager[str]:
        return last_look(
            self.holds, self.owners_of, read, shard=self.shard, first_offset=first_offset, dry=dry
        )

    def _take_up(self, names: list[str], begin: int, *, dry: bool) -> str:
        """End what another run began; or say why something stays after all."""
        for first_offset in sorted({one for one in map(first_offset_of, names) if one is not None}):
            if first_offset < begin and (kept := self._take_up_one(names, first_offset, dry=dry)):
                return kept
        if dry:
            return ""
        entries = read_catalog(self.work)
        ends = {one.first_offset: one.end_offset for one in entries if one.step == EXPIRING}
        for first_offset in sorted(noted(entries, EXPIRING) - noted(entries, EXPIRED)):
            if first_offset < begin:
                self._note(EXPIRED, first_offset, ends[first_offset])
        return ""

    def _take_up_one(self, names: list[str], first_offset: int, *, dry: bool) -> str:
        """Remove what is left of a segment before the begin; or say why it stays."""
        if object_name(self.shard, first_offset, RECORDS) not in names:
            held: AbstractContextManager[str] = nullcontext(
                ""
            )  # its records went first: there is nothing left to hold
        else:
            held = self._last_look(lambda: self._left(first_offset), first_offset, dry=dry)
        with held as kept:
            if kept or dry:
                return kept
            try:
                self._remove_objects(first_offset)
            except StoreError as error:  # locked, or a run without the right: the next one goes on
                return f"segment {first_offset}: {error}"
        return ""

    def _left(self, first_offset: int) -> bytes:
        """A segment before the begin, of which nothing was removed yet."""
        name = object_name(self.shard, first_offset, MANIFEST)
        data = self.store.get(name)
        if data is None:
            raise ObjectError(self.store.place(name), "is missing")
        try:
            manifest = read_manifest(data, self.pair.public, self.shard, first_offset)
        except ArchiveError as error:
            raise ObjectError(self.store.place(name), str(error)) from error
        return read_segment(self.store, manifest)

    def _remove_objects(self, first_offset: int) -> None:
        for kind in _ORDER:
            self.store.remove(object_name(self.shard, first_offset, kind))

    def _note(self, step: str, first_offset: int, end_offset: int) -> None:
        add_entry(self.work, Entry(step, first_offset, end_offset, self.now_us(), ""))
