"""One payment's evidence in one file, checked offline with a public key and nothing else.

A bundle holds the payment's records as Postgres emitted them, the relation messages needed to read
them, a proof of inclusion for each, and a signed checkpoint, cosigned where a witness has. It is
JSON; bytes are base64:

    {"format": "turnout-audit-bundle/1", "intent": "<32 hex digits>", "checkpoint": "<note>",
     "descriptors": ["…"], "records": [{"index": 7, "record": "…", "proof": ["…", …]}]}

It shows that each record was there, at its place, when the checkpoint was signed. That none is
missing it cannot show by itself: versions of the intent that are not there leave a gap, which is
told, but a newer record may exist that the bundle was made before. A gap is no forgery: a stream
that began with a repair holds of older intents the version that the tables held then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec

from ledger.audit.findings import Findings
from ledger.audit.merkle import (
    HASH_BYTES,
    Nodes,
    ProofError,
    check_inclusion,
    inclusion_proof,
    leaf_hash,
)
from ledger.audit.notes import (
    COSIGNATURE,
    ED25519,
    Checkpoint,
    Note,
    NoteError,
    VerifierKey,
)
from ledger.stream.errors import RecordError
from ledger.stream.events import EventDecoder
from ledger.stream.record import Record, descriptor_id, parse_record

FORMAT: Final = "turnout-audit-bundle/1"
BUNDLE_BYTES_MAX: Final = 64 * 1_048_576  # a payment has some ten records of 300 bytes
PROOF_HASHES_MAX: Final = 64  # a tree of 2**64 leaves


class BundleError(Exception):
    """A bundle cannot be made or read; says why."""


class BundledRecord(msgspec.Struct, frozen=True):
    """A record, its place in the stream, and the proof that it stands there."""

    index: int
    record: bytes
    proof: list[bytes]


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As in the file."""

    format: str
    intent: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    checkpoint: str
    descriptors: list[bytes]
    records: list[BundledRecord]


class Proven(msgspec.Struct, frozen=True):
    """What a bundle was shown to hold.

    Attributes:
        checkpoint: under which the records stand.
        witnessed_at_s: when the witness cosigned it, in seconds since 1970; None without a key.
        records: with their places, in the order of the stream.
        descriptors: by id.
        versions_missing: of the intent, between 1 and the newest in the bundle.
    """

    checkpoint: Checkpoint
    witnessed_at_s: int | None
    records: list[tuple[int, Record]]
    descriptors: dict[bytes, bytes]
    versions_missing: list[int]


def make_bundle(
    intent_id: bytes,
    note: bytes,
    nodes: Nodes,
    found: Iterable[tuple[int, bytes]],
    descriptors: Iterable[bytes],
) -> bytes:
    """Make a bundle of the records of one payment.

    Args:
        intent_id: 16 bytes.
        note: the checkpoint to prove against, as it was published.
        nodes: the log's tree.
        found: (index, record); those behind the checkpoint are left out.
        descriptors: relation messages; those that no record needs are left out.

    Raises:
        BundleError: nothing of this payment is under the checkpoint.
    """
    size = Checkpoint.parse(Note.parse(note).text).size
    records = [
        BundledRecord(index, record, inclusion_proof(nodes, index, size))
        for index, record in found
        if index < size
    ]
    if not records:
        raise BundleError("nothing of this payment is under the checkpoint yet")
    needed = {record.record[24:32] for record in records}
    known = {descriptor_id(one): one for one in descriptors}
    bundle = Bundle(
        FORMAT, intent_id.hex(), note.decode(), [known[one] for one in sorted(needed)], records
    )
    return msgspec.json.format(msgspec.json.encode(bundle), indent=1) + b"\n"


def read_bundle(data: bytes) -> Bundle:
    """Read a bundle without believing it.

    Raises:
        BundleError: it is none.
    """
    if len(data) > BUNDLE_BYTES_MAX:
        raise BundleError(f"the bundle is longer than {BUNDLE_BYTES_MAX} bytes")
    try:
        bundle = msgspec.json.decode(data, type=Bundle)
    except msgspec.DecodeError as error:
        raise BundleError(f"the bundle is malformed: {error}") from None
    if bundle.format != FORMAT:
        raise BundleError(f"the bundle's format is not {FORMAT}")
    return bundle


def verify_bundle(
    bundle: Bundle, log_key: VerifierKey, witness_key: VerifierKey | None, findings: Findings
) -> Proven:
    """Check every claim of a bundle.

    Args:
        bundle: as read.
        log_key: of the log; got from somewhere else than the bundle.
        witness_key: of a witness that must have cosigned; None asks for none.
        findings: what is wrong is added here.

    Raises:
        BundleError: a key is not of its role, or the checkpoint is not what the keys signed, so
            nothing can be shown.
    """
    checkpoint, witnessed_at_s = _signed(bundle, log_key, witness_key)
    known = {descriptor_id(one): one for one in bundle.descriptors}
    decoder = EventDecoder()
    records = []
    versions = []
    for number, bundled in enumerate(bundle.records):
        place = f"records[{number}]"
        record = _checked(bundle, bundled, checkpoint, place, findings)
        if record is None:
            continue
        records.append((bundled.index, record))
        if record.descriptor not in known:
            findings.add(
                "bundle", place, "the relation message that it is read by is not in the bundle"
            )
            continue
        try:
            event = decoder.decode(0, bundled.index, bundled.record, known)
        except RecordError as error:
            findings.add("bundle", place, str(error))
            continue
        if event.version is not None:
            versions.append(event.version)
    indexes = [index for index, _ in records]
    if not records or indexes != sorted(set(indexes)):
        findings.add(
            "bundle", "records", "there are none, or they are not in the order of the stream"
        )
    return Proven(checkpoint, witnessed_at_s, records, known, gaps(versions))


def _signed(
    bundle: Bundle, log_key: VerifierKey, witness_key: VerifierKey | None
) -> tuple[Checkpoint, int | None]:
    """Return the checkpoint, which the keys have signed, and the time of the cosignature in s."""
    if log_key.algorithm != ED25519:
        raise BundleError(f"the key of {log_key.name} is a witness', not a log's")
    if witness_key is not None and witness_key.algorithm != COSIGNATURE:
        raise BundleError(f"the key of {witness_key.name} is a log's, not a witness'")
    try:
        note = Note.parse(bundle.checkpoint.encode())
        note.check(log_key)
        witnessed_at_s = None if witness_key is None else note.check(witness_key)
        checkpoint = Checkpoint.parse(note.text)
    except NoteError as error:
        raise BundleError(f"the checkpoint proves nothing: {error}") from error
    if checkpoint.origin != log_key.name:
        raise BundleError(f"the checkpoint is of {checkpoint.origin}, the key of {log_key.name}")
    return checkpoint, witnessed_at_s


def _checked(
    bundle: Bundle,
    bundled: BundledRecord,
    checkpoint: Checkpoint,
    place: str,
    findings: Findings,
) -> Record | None:
    """Return a record that stands where the bundle says, or say why it does not."""
    try:
        _check_hashes(bundled.proof)
        leaf = leaf_hash(bundled.record)
        check_inclusion(leaf, bundled.index, checkpoint.size, bundled.proof, checkpoint.root)
        record = parse_record(bundled.record)
    except (ProofError, RecordError) as error:
        findings.add("bundle", place, str(error))
        return None
    if record.intent_id.hex() != bundle.intent:
        findings.add("bundle", place, "it is of another payment")
        return None
    return record


def _check_hashes(proof: Sequence[bytes]) -> None:
    if len(proof) > PROOF_HASHES_MAX or any(len(one) != HASH_BYTES for one in proof):
        raise ProofError("the proof is no list of hashes")


def gaps(versions: Iterable[int]) -> list[int]:
    """The versions of an intent that should be there, between 1 and the newest, and are not."""
    seen = set(versions)
    return [version for version in range(1, max(seen, default=0)) if version not in seen]
