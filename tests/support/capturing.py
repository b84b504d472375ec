"""What Postgres sends of committed changes, as records: without a relay, for tests of readers."""

from __future__ import annotations

from collections.abc import Mapping

from ledger.relay.replication import read_begin
from ledger.stream.record import NO_INTENT, VERSION, descriptor_id, pack_head
from tests.support.ledger import LedgerHarness

SLOT = "captured"
_CHANGES = (
    f"SELECT data FROM pg_logical_slot_get_binary_changes('{SLOT}', NULL, NULL,"
    " 'proto_version', '1', 'publication_names', 'turnout_events', 'binary', 'true')"
)

Captured = list[tuple[bytes, Mapping[bytes, bytes]]]


async def begin_capture(ledger: LedgerHarness) -> None:
    """Keep what is committed from now on."""
    await ledger.rows(f"SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')::text")


async def end_capture(ledger: LedgerHarness) -> None:
    """Keep nothing more."""
    await ledger.rows(f"SELECT pg_drop_replication_slot('{SLOT}')")


async def captured(ledger: LedgerHarness) -> Captured:
    """Records of everything committed since, with the descriptors they need."""
    descriptors: dict[bytes, bytes] = {}
    by_relation: dict[bytes, bytes] = {}
    found: Captured = []
    for (message,) in await ledger.rows(_CHANGES):
        match message[:1]:
            case b"B":
                begin, ordinal = read_begin(message), 0
            case b"R":
                descriptors[descriptor_id(message)] = message
                by_relation[message[1:5]] = descriptor_id(message)
            case b"I" | b"U" | b"D" | b"T":
                at = 6 if message[:1] == b"T" else 1
                intent_id = NO_INTENT if message[:1] == b"T" else message[13:29]
                head = pack_head(
                    *(VERSION, message[0], 0, ordinal, begin.commit_lsn, begin.committed_at_us),
                    by_relation[message[at : at + 4]],
                    intent_id,
                )
                found.append((head + message, descriptors))
                ordinal += 1
    return found
