"""Holding the archive to its signatures and to the log's, from its objects alone.

Needs no stream, no levels and no database: two public keys and the objects. With the catalog of
the machine that archived, a segment that was taken out behind the last one is missed, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from hashlib import sha256

import msgspec

from ledger.archive.begin import BEGIN, Begin, find_begin
from ledger.archive.catalog import Entry
from ledger.archive.errors import ArchiveError, ObjectError
from ledger.archive.manifest import (
    FRAMES,
    MANIFEST,
    RECORDS,
    Manifest,
    check_log,
    first_offset_of,
    object_name,
    read_manifest,
)
from ledger.archive.reading import assemble, fetch
from ledger.archive.store import Store
from ledger.archive.subtrees import Prefix
from ledger.audit.findings import Findings
from ledger.audit.notes import VerifierKey

KIND = "archive"  # of every finding here
_KINDS = frozenset((RECORDS, FRAMES, MANIFEST, BEGIN))


class ArchiveVerified(msgspec.Struct, frozen=True):
    """What was looked at.

    Attributes:
        segments: whose manifests were read.
        records: in them.
    """

    segments: int
    records: int


def verify_archive(
    store: Store,
    *,
    shard: int,
    key: VerifierKey,
    log_key: VerifierKey,
    catalog: Mapping[int, Entry],
    findings: Findings,
    progress: Callable[[int, int], None],
) -> ArchiveVerified:
    """Read every object of a shard, and hold it to what was signed.

    Args:
        store: of the archive.
        shard: whose segments.
        key: the archive's.
        log_key: the log's.
        catalog: what was archived from here, by first offset; may be empty.
        findings: what is wrong is added here.
        progress: hears how many of how many segments are done.

    Raises:
        StoreError: the store cannot be read.
    """
    names = store.names(f"{shard}/")
    begin = _begin(store, names, shard, key, findings)
    offsets = sorted({one for one in map(first_offset_of, names) if one is not None})
    offsets = [one for one in offsets if one >= begin.first_offset]  # the others are about to go
    for name in names:
        if first_offset_of(name) is None or name.rpartition("/")[2] not in _KINDS:
            findings.add(KIND, store.place(name), "does not belong to any segment")
    for missed in sorted(catalog.keys() - set(offsets)):
        place = store.place(object_name(shard, missed, MANIFEST))
        findings.add(KIND, place, f"is missing: segment {missed} was archived")
    chain = _Chain(store, shard, key, log_key, catalog, findings, begin)
    records = 0
    for number, first_offset in enumerate(offsets):
        progress(number, len(offsets))
        records += chain.add(first_offset, names)
    progress(len(offsets), len(offsets))
    return ArchiveVerified(chain.segments, records)


def _begin(
    store: Store, names: Collection[str], shard: int, key: VerifierKey, findings: Findings
) -> Begin:
    """Where the archive begins; a note of that which nobody signed is named, and not believed."""
    try:
        return find_begin(store, names, shard, key)
    except ObjectError as error:
        findings.add(KIND, error.place, error.reason)
        return Begin()


class _Chain:
    """The segments so far, of which each must follow on the one before."""

    def __init__(
        self,
        store: Store,
        shard: int,
        key: VerifierKey,
        log_key: VerifierKey,
        catalog: Mapping[int, Entry],
        findings: Findings,
        begin: Begin,
    ) -> None:
        self._store = store
        self._shard = shard
        self._key = key
        self._log_key = log_key
        self._catalog = catalog
        self._findings = findings
        self._begin = begin
        self._prefix: Prefix | None = begin.prefix()  # None behind a segment that could not be read
        self._before: Manifest | None = None
        self.segments = 0

    def add(self, first_offset: int, names: Collection[str]) -> int:
        """Look at one segment; return how many records it has."""
        name = object_name(self._shard, first_offset, MANIFEST)
        place = self._store.place(name)
        if name not in names and first_offset not in self._catalog:
            return 0  # a run has not come to its manifest yet: it is not archived
        data = self._store.get(name)
        if data is None:
            self._prefix = None
            return self._found(place, "is missing")
        line = self._catalog.get(first_offset)
        if line is not None and line.manifest != sha256(data).hexdigest():
            self._found(place, "is not the manifest that the catalog noted")
        try:
            manifest = read_manifest(data, self._key, self._shard, first_offset)
        except ArchiveError as error:
            self._prefix = None
            return self._found(place, str(error))
        self.segments += 1
        self._follow(manifest, place)
        self._check_objects(manifest)
        return manifest.end_offset - manifest.first_offset

    def _follow(self, manifest: Manifest, place: str) -> None:
        """Hold a manifest to the one before it, and to the log."""
        before, self._before = self._before, manifest
        expected = before.end_offset if before else self._begin.first_offset
        predecessor = before.segment.sha256 if before else self._begin.predecessor
        if manifest.first_offset != expected:
            reason = f"begins at record {manifest.first_offset}, and {expected} should follow"
            self._found(place, reason)
            self._prefix = None
        elif predecessor and manifest.predecessor != predecessor:
            self._found(place, "the segment before it is not the one it was written after")
        if self._prefix is None:
            return  # the tree cannot be followed past a gap, which was named
        try:
            check_log(manifest, self._prefix, self._log_key)
        except ArchiveError as error:
            self._found(place, str(error))
            self._prefix = None

    def _check_objects(self, manifest: Manifest) -> None:
        """Hold both tables to their digests; put the segment together from them."""
        tables = []
        for kind in (RECORDS, FRAMES):
            try:
                tables.append(fetch(self._store, manifest, kind))
            except ObjectError as error:
                self._found(error.place, error.reason)
        if len(tables) < len((RECORDS, FRAMES)):
            return
        try:
            assemble(self._store, manifest, *tables)
        except ObjectError as error:
            self._found(error.place, error.reason)

    def _found(self, place: str, reason: str) -> int:
        self._findings.add(KIND, place, reason)
        return 0
