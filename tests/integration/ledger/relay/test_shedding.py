"""Intake closes while a slot pins too much of what it may."""

from __future__ import annotations

import msgspec

from ledger.connection import Connection
from ledger.pgtypes import text_
from ledger.relay.shedding import PinnedWAL
from tests.support.relay import INTENTS_SQL, RelayHarness


async def test_intake_closes_while_the_slot_pins_too_much_and_opens_well_below(
    relaying: RelayHarness,
) -> None:
    """Seen by the role that takes payments in, whether a relay runs or not."""
    session = await Connection.open(relaying.dsn("turnout_api"), connect_timeout_s=10)
    try:
        pinned = PinnedWAL(session, relaying.limits)
        await pinned.look()
        assert (pinned.ratio, pinned.over) == (0.0, False)  # no slot, nothing pinned
        await relaying.rows(
            "SELECT 1 FROM pg_create_logical_replication_slot($1::text::name, 'pgoutput')",
            text_(relaying.slot),
        )
        await relaying.sql(INTENTS_SQL.format(count=5_000))
        await pinned.look()
        assert 0.0 < pinned.ratio < 0.6
        assert not pinned.over
        limit = pinned.ratio / 2
        near = PinnedWAL(session, msgspec.structs.replace(relaying.limits, shed_at_ratio=limit))
        await near.look()
        assert near.over
        await relaying.drop_slot()
        await near.look()
        assert not near.over
    finally:
        await session.aclose()


async def test_between_closing_and_opening_lies_a_fifth(relaying: RelayHarness) -> None:
    """So that it does not close and open with every look."""
    session = await Connection.open(relaying.dsn("turnout_switch"), connect_timeout_s=10)
    try:
        await relaying.rows(
            "SELECT 1 FROM pg_create_logical_replication_slot($1::text::name, 'pgoutput')",
            text_(relaying.slot),
        )
        await relaying.sql(INTENTS_SQL.format(count=5_000))
        probe = PinnedWAL(session, relaying.limits)
        await probe.look()
        limit = probe.ratio * 1.1
        pinned = PinnedWAL(session, msgspec.structs.replace(relaying.limits, shed_at_ratio=limit))
        await pinned.look()
        assert not pinned.over
        pinned.over = True
        await pinned.look()
        assert pinned.over
    finally:
        await session.aclose()


async def test_a_database_that_does_not_answer_changes_nothing(relaying: RelayHarness) -> None:
    """The last look counts: a restart of Postgres opens and closes no door."""
    session = await Connection.open(relaying.dsn("turnout_api"), connect_timeout_s=10)
    pinned = PinnedWAL(session, relaying.limits)
    pinned.over = True
    await session.aclose()
    await pinned.look()
    assert pinned.over
