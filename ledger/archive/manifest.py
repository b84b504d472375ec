"""A segment's manifest: what its objects are, and how its records stand in the signed log. Pure.

A manifest is a signed note (C2SP signed-note) whose text is JSON. Two keys speak in it. The
*archive's* own signs the text, and with it what no leaf holds: the digests of segment and objects,
headers and frames. The *log's* signed the checkpoint that is part of the text; `range_hashes` of
this segment and of those before it lead to `prefix_root`, and `consistency` from there to the
checkpoint's root. So records that were changed are found out even by somebody who has the archive's
key, and the log's private key stays with the process that signs.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from ledger.archive.errors import ArchiveError
from ledger.archive.signed import read_document, sign_document
from ledger.archive.subtrees import Prefix
from ledger.audit.merkle import ProofError, check_consistency
from ledger.audit.notes import Checkpoint, Note, NoteError, Signer, VerifierKey
from ledger.stream.segments.format import Header

FORMAT: Final = "turnout-archive-manifest/1"
RECORDS: Final = "records.parquet"
FRAMES: Final = "frames.parquet"
MANIFEST: Final = "manifest.note"
_DIGITS: Final = 20

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class ObjectDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of a segment's objects: its length in bytes and SHA-256."""

    size: Count
    sha256: Digest


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As in the text.

    Attributes:
        format: FORMAT.
        origin: of the log that the segment's records are in.
        shard: of the stream.
        first_offset: of the segment's first record.
        end_offset: behind its last.
        created_at_us: when the segment was begun, Unix microseconds.
        archived_at_us: when this was written.
        predecessor: SHA-256 of the segment before it; zeros if it is the first.
        segment: the segment file's.
        records: the object `records.parquet`.
        frames: the object `frames.parquet`.
        range_hashes: of the tree's perfect subtrees over the segment's records.
        prefix_root: of the log's tree up to `end_offset`.
        checkpoint: a signed note of the log's, of a tree at least that large.
        consistency: proof from `prefix_root` to the checkpoint (RFC 9162, 2.1.4).
    """

    format: str
    origin: str
    shard: Count
    first_offset: Count
    end_offset: Count
    created_at_us: int
    archived_at_us: int
    predecessor: Digest
    segment: ObjectDigest
    records: ObjectDigest
    frames: ObjectDigest
    range_hashes: list[bytes]
    prefix_root: bytes
    checkpoint: str
    consistency: list[bytes]

    @property
    def header(self) -> Header:
        """The segment's."""
        return Header(
            self.shard, self.first_offset, self.created_at_us, bytes.fromhex(self.predecessor)
        )


def segment_folder(shard: int, first_offset: int) -> str:
    """Under which name a segment's objects stand."""
    return f"{shard}/{first_offset:0{_DIGITS}}"


def object_name(shard: int, first_offset: int, kind: str) -> str:
    """The name of one of a segment's objects."""
    return f"{segment_folder(shard, first_offset)}/{kind}"


def first_offset_of(name: str) -> int | None:
    """Which segment an object is of, told by its name; None if it is of none."""
    parts = name.split("/")
    if len(parts) != 3 or len(parts[1]) != _DIGITS or not parts[1].isdecimal():
        return None
    return int(parts[1])


def sign_manifest(manifest: Manifest, key: VerifierKey, signer: Signer) -> bytes:
    """The manifest as it is stored."""
    return sign_document(manifest, key, signer)


def read_manifest(data: bytes, key: VerifierKey, shard: int, first_offset: int) -> Manifest:
    """Read a manifest without believing it.

    Args:
        data: as it is stored.
        key: the archive's.
        shard: whose segment it should be of.
        first_offset: likewise.

    Raises:
        ArchiveError: it is none, of another segment, or the key did not sign it.
    """
    manifest = read_document(data, key, Manifest)
    if manifest.format != FORMAT:
        raise ArchiveError(f"its format is not {FORMAT}")
    if manifest.end_offset <= manifest.first_offset:
        raise ArchiveError("it is not as it was written")
    if (manifest.shard, manifest.first_offset) != (shard, first_offset):
        raise ArchiveError(
            f"it is of segment {manifest.first_offset} of shard {manifest.shard}, "
            "and stands elsewhere"
        )
    return manifest


def check_log(manifest: Manifest, prefix: Prefix, log_key: VerifierKey) -> None:
    """Hold a manifest to the log; `prefix` has the leaves before it, and its own when this is done.

    Raises:
        ArchiveError: its hashes are not of the tree that the log signed.
    """
    try:
        note = Note.parse(manifest.checkpoint.encode())
        note.check(log_key)
        checkpoint = Checkpoint.parse(note.text)
        prefix.extend(manifest.end_offset, manifest.range_hashes)
        root = prefix.root()
        check_consistency(
            manifest.end_offset,
            checkpoint.size,
            root,
            checkpoint.root,
            manifest.consistency,
        )
    except (NoteError, ProofError) as error:
        raise ArchiveError(str(error)) from error
    except ValueError:
        raise ArchiveError("it has not one hash for each subtree of its range") from None
    if root != manifest.prefix_root:
        raise ArchiveError("its hashes do not lead to the root that it names")
    if manifest.origin != log_key.name or checkpoint.origin != log_key.name:
        raise ArchiveError(f"it is of the log {manifest.origin}, the key of {log_key.name}")
