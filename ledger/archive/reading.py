"""Reading a segment out of the archive: its objects are held to its manifest before they count."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from ledger.archive.begin import find_begin
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
from ledger.archive.parquet import read_frames, read_records
from ledger.archive.sealed import put_together
from ledger.archive.store import Store
from ledger.archive.subtrees import range_hashes
from ledger.audit.notes import VerifierKey


def fetch(store: Store, manifest: Manifest, kind: str) -> bytes:
    """One of a segment's tables, RECORDS or FRAMES.

    Raises:
        ObjectError: it is missing, or has another SHA-256.
        StoreError: it cannot be read now.
    """
    name = object_name(manifest.shard, manifest.first_offset, kind)
    expected = manifest.records if kind == RECORDS else manifest.frames
    data = store.get(name)
    if data is None:
        raise ObjectError(store.place(name), "is missing")
    if sha256(data).hexdigest() != expected.sha256:
        raise ObjectError(store.place(name), "does not have the SHA-256 that was signed")
    return data


def assemble(store: Store, manifest: Manifest, records: bytes, frames: bytes) -> bytes:
    """Make the segment of its tables, as the stream had it.

    Args:
        store: where they are from.
        manifest: the segment's.
        records: as `fetch` returns it.
        frames: likewise.

    Raises:
        ObjectError: it is another segment, or its records are not those that the log signed.
    """
    first = manifest.first_offset
    place = store.place(object_name(manifest.shard, first, RECORDS))
    try:
        read = read_records(records, first)
        segment = put_together(manifest.header, read_frames(frames), read)
    except ArchiveError as error:
        raise ObjectError(place, str(error)) from error
    if (
        len(read) != manifest.end_offset - first
        or range_hashes(read, first) != manifest.range_hashes
    ):
        raise ObjectError(place, "its records are not those that the log signed")
    if sha256(segment).hexdigest() != manifest.segment.sha256:
        raise ObjectError(place, "the segment made of it is not the one that was archived")
    return segment


def read_segment(store: Store, manifest: Manifest) -> bytes:
    """A segment as the stream had it, byte for byte.

    Raises:
        ObjectError: an object is not what was signed.
        StoreError: it cannot be read now.
    """
    records, frames = (fetch(store, manifest, kind) for kind in (RECORDS, FRAMES))
    return assemble(store, manifest, records, frames)


def manifests(
    store: Store, *, shard: int, key: VerifierKey, log_key: VerifierKey
) -> Iterator[Manifest]:
    """Every manifest of a shard from its begin on, each held to the one before and to the log.

    Raises:
        ObjectError: one is not what was signed, or does not follow on.
        StoreError: the store cannot be read now.
    """
    names = store.names(f"{shard}/")
    begin = find_begin(store, names, shard, key)
    prefix = begin.prefix()
    wanted = {name for name in names if name.endswith(f"/{MANIFEST}")}
    for name in sorted(wanted):
        first = first_offset_of(name)
        if first is not None and first < begin.first_offset:
            continue  # about to go
        data = store.get(name)
        if first is None or data is None:
            raise ObjectError(store.place(name), "is no manifest of a segment")
        if first != prefix.size:
            reason = f"begins at record {first}, and {prefix.size} should follow"
            raise ObjectError(store.place(name), reason)
        try:
            manifest = read_manifest(data, key, shard, first)
            check_log(manifest, prefix, log_key)
        except ArchiveError as error:
            raise ObjectError(store.place(name), str(error)) from error
        yield manifest
