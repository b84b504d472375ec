"""Who still needs the stream is asked of the ledger, and of what the log and its witness signed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.archive.consumers import ledger_needs, log_needs, merchants_of
from ledger.audit.folders import log_folder
from ledger.audit.notes import NoteError, VerifierKey
from tests.support.archiving import SealedStream
from tests.support.ledger import LedgerHarness, intent


async def test_every_group_needs_what_it_has_not_taken_in(ledger: LedgerHarness) -> None:
    """A cursor, a parked event before it, and for a group that never began: everything."""
    await ledger.superuser.script(
        "INSERT INTO stream_cursors (consumer_group, shard, partition, next_offset) VALUES "
        "('postings', 7, 0, 90), ('postings_checker', 7, 0, 80), ('postings', 8, 0, 1);"
        "INSERT INTO stream_parked (consumer_group, shard, partition, record_offset, reason) "
        "VALUES ('postings', 7, 0, 41, 'odd'), ('postings', 8, 0, 0, 'odd')"
    )
    needs = await ledger_needs(ledger.superuser, 7, ["postings", "attempt_monitor"])
    assert needs == {"postings": 41, "attempt_monitor": 0, "postings_checker": 80}


async def test_the_ledger_knows_the_merchants_of_its_payments(ledger: LedgerHarness) -> None:
    """Payments that are not there have no merchant."""
    made = intent(ledger.merchant_id)
    await ledger.intents.create([made])
    owners = await merchants_of(ledger.superuser, [made.intent_id, bytes(16)])
    assert owners == {made.intent_id: ledger.merchant_id}


def test_the_log_needs_what_it_has_not_signed(tmp_path: Path) -> None:
    """A witness that has seen nothing needs everything; a note of somebody else is refused."""
    stream = SealedStream.make(tmp_path / "data")
    log, witness = log_folder(stream.data_dir), tmp_path / "witness"
    key = stream.archiver().log_key
    assert log_needs(log, witness, key) == {"audit": 407, "witness": 0}
    witness.mkdir()
    (witness / "checkpoint").write_bytes((log / "checkpoint").read_bytes())
    assert log_needs(log, witness, key) == {"audit": 407, "witness": 407}
    with pytest.raises(NoteError):
        log_needs(log, witness, VerifierKey(key.name, key.algorithm, bytes(32)))
