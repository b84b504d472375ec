"""The archive's records as a verification of the log reads them, up to where the stream goes on."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from ledger.archive.begin import find_begin
from ledger.archive.errors import ArchiveError, ObjectError
from ledger.archive.manifest import FRAMES, RECORDS, Manifest, object_name
from ledger.archive.parquet import read_frames, read_records
from ledger.archive.reading import fetch, manifests
from ledger.archive.store import Store
from ledger.audit.findings import Findings
from ledger.audit.notes import VerifierKey
from ledger.audit.segment_entries import Entries

KIND = "archive"
ENTRIES_RECORDS = 65_536  # given at once


@frozen
class ArchivedRecords:
    """A shard's records in an archive.

    Attributes:
        store: of the archive.
        shard: whose.
        key: the archive's.
        log_key: the log's.
    """

    store: Store
    shard: int
    key: VerifierKey
    log_key: VerifierKey

    def begins_at(self) -> int:
        """The offset of the oldest record; 0 where that is not as it was signed: `read` names it.

        Raises:
            StoreError: the store cannot be read now.
        """
        try:
            return self._begin()
        except ObjectError:
            return 0

    def read(self, end: int, findings: Findings) -> Iterator[Entries]:
        """Read the records up to an offset. Every manifest is held to the log, every object to it.

        An object that is not what was signed is named, and its segment left out; a manifest that is
        not ends the reading.

        Raises:
            StoreError: the store cannot be read now.
        """
        behind = 0
        try:
            behind = self._begin()
            for manifest in manifests(
                self.store, shard=self.shard, key=self.key, log_key=self.log_key
            ):
                if manifest.first_offset >= end:
                    break
                behind = manifest.end_offset
                yield from self._segment(manifest, findings)
        except ObjectError as error:
            findings.add(KIND, error.place, error.reason)
            return
        if behind < end:
            place = self.store.place(f"{self.shard}/")
            reason = f"ends before record {behind}; those up to {end} should be there"
            findings.add(KIND, place, reason)

    def _begin(self) -> int:
        names = self.store.names(f"{self.shard}/")
        return find_begin(self.store, names, self.shard, self.key).first_offset

    def _segment(self, manifest: Manifest, findings: Findings) -> Iterator[Entries]:
        first = manifest.first_offset
        place = self.store.place(object_name(self.shard, first, RECORDS))
        try:
            records = read_records(fetch(self.store, manifest, RECORDS), first)
            frames = read_frames(fetch(self.store, manifest, FRAMES))
        except ObjectError as error:
            findings.add(KIND, error.place, error.reason)
            return
        except ArchiveError as error:
            findings.add(KIND, place, str(error))
            return
        descriptors = [one for frame in frames for one in frame.descriptors]
        for at in range(0, len(records), ENTRIES_RECORDS):
            some = records[at : at + ENTRIES_RECORDS]
            yield Entries(first + at, some, place, None, [] if at else descriptors)
