"""What `turnout audit verify bundle` answers: what a bundle proves, tells, and does not prove."""

from __future__ import annotations

from typing import Any, Final

from ledger.audit.bundle import Bundle, Proven, read_bundle, verify_bundle
from ledger.audit.findings import Findings
from ledger.audit.notes import VerifierKey
from ledger.ids import public_id
from ledger.stream.errors import RecordError
from ledger.stream.events import EventDecoder, PreviousVersions
from stack.audit import report
from stack.stream import masked

Document = dict[str, Any]

NOT_SHOWN: Final = (
    "that no record of this payment came after the checkpoint",
    "that what the records say is true: a false row is logged as it is",
)
_NO_WITNESS: Final = "that anybody but the log itself has seen this past: no witness' key was given"


def verify_file(data: bytes, log_key: VerifierKey, witness_key: VerifierKey | None) -> Document:
    """Check a bundle with public keys alone, and read what it holds.

    Raises:
        BundleError: it is none, or its checkpoint is not what the keys signed.
    """
    findings = Findings()
    bundle = read_bundle(data)
    proven = verify_bundle(bundle, log_key, witness_key, findings)
    return {
        **report(findings, {"events": len(proven.records), "rows": 0, "checkpoints": 1}),
        "payment": public_id("pi", bytes.fromhex(bundle.intent)),
        "origin": proven.checkpoint.origin,
        "size": proven.checkpoint.size,
        "witnessed_at_s": proven.witnessed_at_s,
        "versions_missing": proven.versions_missing,
        "events": _events(bundle, proven),
        "not_shown": [*NOT_SHOWN, *([_NO_WITNESS] if witness_key is None else [])],
    }


def _events(bundle: Bundle, proven: Proven) -> list[Document]:
    """The proven records as events, masked as everywhere; what cannot be read was found before."""
    shown = {index for index, _ in proven.records}
    versions = PreviousVersions()
    decoder = EventDecoder(before=versions.find)
    documents = []
    for bundled in bundle.records:
        if bundled.index not in shown:
            continue
        try:
            event = decoder.decode(0, bundled.index, bundled.record, proven.descriptors)
            versions.note(event)
            documents.append(masked(event.document()))
        except RecordError as error:
            position = {"shard": 0, "offset": bundled.index}
            documents.append({"position": position, "error": str(error)})
    return documents
