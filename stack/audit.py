"""What `turnout audit` does: reads a data directory's audit log, and never writes to it.

Each action returns the document that `--json` prints. Nothing but `verify_db` needs a running
stack or a database, and nothing a private key: whoever has the files and the public keys may check
them.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final

from ledger.archive.errors import ArchiveError, StoreError
from ledger.audit.bundle import BundleError, read_bundle
from ledger.audit.evidence import Evidence, EvidenceError, Progress
from ledger.audit.findings import Findings
from ledger.audit.folders import (
    WITNESS_KEY_STEM,
    log_folder,
    witness_folder,
)
from ledger.audit.keys import KeyFileError, load_public
from ledger.audit.level_files import LevelFileError
from ledger.audit.merkle import ProofError
from ledger.audit.notes import Checkpoint, Note, NoteError, VerifierKey
from ledger.audit.tiles import EntryError
from ledger.audit.verify_log import verify_log
from ledger.audit.whole_stream import WholeStream
from ledger.audit.witness import WITNESSED
from ledger.ids import public_id
from ledger.stream.segments.files import shard_folder
from ledger.stream.segments.trim import NAME as HEAD
from ledger.stream.segments.trim import Head
from stack.audit_restores import name_losses, restores
from stack.audit_source import SEGMENTS_ALONE, ExtraMissingError, Source, whole_stream
from stack.audit_tables import EXITS as LEDGER_EXITS
from stack.audit_tables import beside, compare
from stack.endings import EXIT_FAULT
from stack.log_key import log_key_of
from stack.options import EXIT_CANNOT_START, Place

Document = dict[str, Any]

EXITS: Final[dict[type[Exception], int]] = {
    **LEDGER_EXITS,
    KeyFileError: EXIT_CANNOT_START,
    OSError: EXIT_CANNOT_START,
    BundleError: EXIT_FAULT,
    EvidenceError: EXIT_FAULT,
    ProofError: EXIT_FAULT,
    NoteError: EXIT_FAULT,
    LevelFileError: EXIT_FAULT,
    EntryError: EXIT_FAULT,
    ExtraMissingError: EXIT_CANNOT_START,
    StoreError: EXIT_CANNOT_START,
    ArchiveError: EXIT_FAULT,
}


def evidence(place: Place, source: Source = SEGMENTS_ALONE) -> Evidence:
    """The log of a data directory.

    Args:
        place: where it is.
        source: of records that left the stream.

    Raises:
        KeyFileError: there is no log, or no key of the archive.
        NoteError: where the stream begins is not what the archive's key signed.
        StoreError, ExtraMissingError: the archive cannot be read.
    """
    key = log_key_of(place)
    return _evidence(place, key, whole_stream(place, key, source))


def _evidence(place: Place, key: VerifierKey, stream: WholeStream) -> Evidence:
    data_dir = place.data_dir
    witness = witness_folder(data_dir, place.settings.audit.witness_dir)
    return Evidence(log_folder(data_dir), stream, witness, key)


def keys(place: Place) -> Document:
    """The public keys of log and witness, and where their private halves lie."""
    log = evidence(place)
    document: Document = {"log": str(log.key)}
    path = log.witness / f"{WITNESS_KEY_STEM}.pub"
    document["witness"] = str(load_public(path)) if path.exists() else None
    return document


def status(place: Place) -> Document:
    """How far the log is, and how far its witness."""
    log = evidence(place)
    own = _checkpoint(log.log / "checkpoint", log.key)
    seen = _checkpoint(log.witness / WITNESSED, log.key)
    return {
        "origin": log.key.name,
        "signed": own.size if own else 0,
        "root": base64.b64encode(own.root).decode() if own else None,
        "witnessed": seen.size if seen else 0,
    }


def verify_all(
    place: Place,
    progress: Progress,
    *,
    key: VerifierKey | None = None,
    witness_key: VerifierKey | None = None,
    source: Source = SEGMENTS_ALONE,
    accept_restores: bool = False,
) -> Document:
    """Hold stream, levels, history and witness to each other; and the tables, if a stack runs.

    Args:
        place: where they are.
        progress: hears how far it is.
        key: the log's; None believes the one that lies beside the log.
        witness_key: likewise of the witness; given, the witness must have cosigned.
        source: of records that left the stream.
        accept_restores: what the ledger lost when it was set back is no finding.
    """
    findings = Findings()
    key = key or log_key_of(place)
    try:
        stream = whole_stream(place, key, source)
    except NoteError as error:
        folder = shard_folder(place.data_dir, 0)
        findings.add("segment", folder / HEAD, str(error))
        stream = WholeStream(folder)
    log = _evidence(place, key, stream)
    verified = verify_log(
        log.log,
        log.key,
        stream.entries(findings),
        findings,
        witness=log.witness,
        witness_key=witness_key,
        progress=progress,
    )
    if not verified.signed:
        findings.add("checkpoint", log.log, "nothing has been signed yet")
    database = beside(place, stream, findings, progress)
    if database.compared and not accept_restores:
        name_losses(database.compared, findings)
    checked = {
        "events": verified.leaves - stream.unread,
        "rows": database.rows,
        "checkpoints": verified.checkpoints,
    }
    return {
        **report(findings, checked),
        "unsigned": verified.leaves - verified.signed,
        "witnessed": verified.witnessed,
        "database": database.document(),
        "archived": _archived(stream.head, stream),
    }


def _archived(head: Head | None, stream: WholeStream) -> Document | None:
    """What left the stream, and how much of it was looked at; None if nothing has."""
    if head is None:
        return None
    return {
        "first_offset": head.first_offset,
        "archive": head.archive,
        "read": stream.archived is not None,
        "unread": stream.unread,
    }


def verify_db(
    place: Place,
    progress: Progress,
    *,
    source: Source = SEGMENTS_ALONE,
    accept_restores: bool = False,
) -> Document:
    """Hold every row of the published tables to the newest change of its key in the stream.

    What the ledger lost when it was set back is a finding for each restore, unless accepted.

    Raises:
        NotRunningError: no stack runs on the data directory.
        StartError: its passwords are not ours to read.
        LedgerError: the tables cannot be compared now.
    """
    findings = Findings()
    stream = whole_stream(place, log_key_of(place), source)
    compared = compare(place, stream, findings, progress)
    checked = {"events": compared.records, "rows": compared.rows, "checkpoints": 0}
    if not accept_restores:
        name_losses(compared, findings)
    return {
        **report(findings, checked),
        "not_compared": sorted(compared.not_compared),
        "restores": restores(compared),
        "restores_unproven": compared.restores_unproven,
    }


def verify_inclusion(
    place: Place, index: int, progress: Progress, *, source: Source = SEGMENTS_ALONE
) -> Document:
    """Prove one record."""
    found = evidence(place, source).inclusion(index, progress)
    return {
        **report(Findings(), {"events": 1, "rows": 0, "checkpoints": 1}),
        "index": found.index,
        "where": found.where,
        "size": found.checkpoint.size,
        "proof": [base64.b64encode(one).decode() for one in found.proof],
    }


def verify_consistency(place: Place, old_size: int, new_size: int | None) -> Document:
    """Prove that one signed tree is a prefix of another, the newest unless told otherwise."""
    log = evidence(place)
    new_size = log.checkpoint().size if new_size is None else new_size
    proof = log.consistency(old_size, new_size)
    return {
        **report(Findings(), {"events": 0, "rows": 0, "checkpoints": 2}),
        "old_size": old_size,
        "new_size": new_size,
        "proof": [base64.b64encode(one).decode() for one in proof],
    }


def make(
    place: Place,
    intent_id: bytes,
    output: Path,
    progress: Progress,
    *,
    source: Source = SEGMENTS_ALONE,
) -> Document:
    """Write the bundle of one payment."""
    data = evidence(place, source).bundle(intent_id, progress)
    output.write_bytes(data)
    bundle = read_bundle(data)
    return {
        "payment": public_id("pi", intent_id),
        "file": str(output),
        "events": len(bundle.records),
        "bytes": len(data),
    }


def export(
    place: Place, folder: Path, progress: Progress, *, source: Source = SEGMENTS_ALONE
) -> Document:
    """Write the log as C2SP tlog-tiles."""
    checkpoint = evidence(place, source).export(folder, progress)
    return {"folder": str(folder), "origin": checkpoint.origin, "size": checkpoint.size}


def report(findings: Findings, checked: dict[str, int]) -> Document:
    """What every verification answers, as contract 1 has it."""
    return {
        "ok": not findings.count,
        "checked": checked,
        "findings": [
            {"kind": one.kind, "where": one.where, "detail": one.detail} for one in findings.found
        ],
        "findings_total": findings.count,
    }


def read_key(text: str) -> VerifierKey:
    """A public key as it was typed: the key itself, or the file that holds it.

    Raises:
        KeyFileError: it is neither.
    """
    if "+" in text:
        try:
            return VerifierKey.parse(text)
        except NoteError as error:
            raise KeyFileError(str(error)) from error
    path = Path(text)
    if not path.exists():
        raise KeyFileError(f"{text!r} is neither a key nor a file that holds one")
    return load_public(path)


def _checkpoint(path: Path, key: VerifierKey) -> Checkpoint | None:
    if not path.exists():
        return None
    note = Note.parse(path.read_bytes())
    note.check(key)
    return Checkpoint.parse(note.text)
