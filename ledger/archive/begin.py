"""Where an archive begins once its oldest segments were removed: the object `begin.note`.

It stands beside the oldest segment that is left, is signed by the archive's key, and holds the
roots of the log's perfect subtrees over all records before. Those cannot be made up: only the right
ones fold, with the ranges behind them, into the roots that the log has signed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec
from attrs import field, frozen

from ledger.archive.errors import ArchiveError, ObjectError
from ledger.archive.manifest import Count, Digest, Manifest, first_offset_of, object_name
from ledger.archive.signed import read_document, sign_document
from ledger.archive.store import Store
from ledger.archive.subtrees import Prefix
from ledger.audit.keys import KeyPair
from ledger.audit.notes import VerifierKey

BEGIN: Final = "begin.note"
FORMAT: Final = "turnout-archive-begin/1"


class BeginNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As in the text.

    Attributes:
        format: FORMAT.
        shard: of the stream.
        first_offset: of the oldest record that is left.
        predecessor: SHA-256 of the newest segment that went, in hex.
        removed_at_us: when, Unix microseconds.
        peaks: level and hash of each perfect subtree over the records before, from left to right.
    """

    format: str
    shard: Count
    first_offset: Count
    predecessor: Digest
    removed_at_us: int
    peaks: list[tuple[int, bytes]]


@frozen
class Begin:
    """Where an archive begins.

    Attributes:
        first_offset: of its oldest record.
        predecessor: SHA-256 of the segment before, in hex; empty where there was none.
        peaks: as `BeginNote` has them.
    """

    first_offset: int = 0
    predecessor: str = ""
    peaks: list[tuple[int, bytes]] = field(factory=list)

    def prefix(self) -> Prefix:
        """The tree over all records before."""
        return Prefix(self.first_offset, list(self.peaks))


def find_begin(store: Store, names: Collection[str], shard: int, key: VerifierKey) -> Begin:
    """Where a shard's archive begins: at its newest note of that, else with the first record.

    Raises:
        ObjectError: the note is not what the key signed.
        StoreError: the store cannot be read now.
    """
    notes = sorted(name for name in names if name.endswith(f"/{BEGIN}"))
    if not notes:
        return Begin()
    name = notes[-1]
    data = store.get(name)
    if data is None:
        raise ObjectError(store.place(name), "is missing")
    try:
        note = read_document(data, key, BeginNote)
    except ArchiveError as error:
        raise ObjectError(store.place(name), str(error)) from error
    if (note.format, note.shard, note.first_offset) != (FORMAT, shard, first_offset_of(name)):
        raise ObjectError(store.place(name), "it is of another segment, and stands elsewhere")
    return Begin(note.first_offset, note.predecessor, note.peaks)


def store_begin(
    store: Store, pair: KeyPair, behind: Manifest, peaks: list[tuple[int, bytes]], now_us: int
) -> None:
    """Have the archive begin behind a segment, whoever began to say so.

    Raises:
        StoreError: the store cannot be written now.
    """
    note = BeginNote(
        format=FORMAT,
        shard=behind.shard,
        first_offset=behind.end_offset,
        predecessor=behind.segment.sha256,
        removed_at_us=now_us,
        peaks=peaks,
    )
    name = object_name(behind.shard, behind.end_offset, BEGIN)
    store.put_new(name, sign_document(note, pair.public, pair))
