"""The relay on a real Postgres: from a commit to a record, once."""

from __future__ import annotations

import trio

from ledger.stream.record import Record
from tests.support.relay import (
    ATTEMPTS_SQL,
    BUMP_SQL,
    INTENTS_SQL,
    OUTCOMES_SQL,
    WITHIN_S,
    RelayHarness,
)


async def test_commits_become_records_once_and_in_order(relaying: RelayHarness) -> None:
    """Every change of every published table is in the stream, in the order of the commits."""
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
        await relaying.sql(INTENTS_SQL.format(count=3))
        await relaying.sql(ATTEMPTS_SQL)
        await relaying.sql(BUMP_SQL)
        await relaying.caught_up(relay)
    async with relaying.running() as relay:
        await relaying.sql(OUTCOMES_SQL)
        await relaying.caught_up(relay)
    found = await relaying.stream()
    assert [(table, record.kind) for table, record in found] == (
        [("payment_intents", b"I")] * 3
        + [("attempts", b"I")] * 3
        + [("payment_intents", b"U")] * 3
        + [("outcomes", b"I")] * 3
    )
    assert not any(record.is_repair for _, record in found)
    positions = [record.position for _, record in found]
    assert positions == sorted(set(positions))
    ids = [row[0] for row in await relaying.rows("SELECT id FROM payment_intents ORDER BY id")]
    assert sorted(record.intent_id for table, record in found if table == "attempts") == ids


async def test_a_relay_that_starts_late_reads_the_tables_first(relaying: RelayHarness) -> None:
    """What was committed before there was a slot comes from the tables, as the WAL would have."""
    await relaying.sql(INTENTS_SQL.format(count=5))
    await relaying.sql(ATTEMPTS_SQL)
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
        await relaying.sql(OUTCOMES_SQL)
        await relaying.caught_up(relay)
    found = await relaying.stream()
    assert [table for table, record in found if record.is_repair] == (
        ["payment_intents"] * 5 + ["attempts"] * 5
    )
    assert [table for table, record in found if not record.is_repair] == ["outcomes"] * 5


async def test_a_repaired_row_has_the_bytes_that_the_wal_would_have_had(
    relaying: RelayHarness,
) -> None:
    """Change and descriptor are the server's own to the last byte, so that both read alike."""
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
        await relaying.sql(INTENTS_SQL.format(count=3))
        await relaying.sql(ATTEMPTS_SQL)
        await relaying.sql(OUTCOMES_SQL)
        await relaying.caught_up(relay)
    streamed = await relaying.stream()
    await relaying.drop_slot()
    other = RelayHarness(
        relaying.dsn,
        relaying.folder / "other",
        relaying.slot,
        relaying.limits,
        relaying.superuser,
    )
    async with other.running() as relay:
        await other.until(relay, "streaming")
    repaired = await other.stream()

    def changes(records: list[tuple[str, Record]]) -> list[tuple[str, bytes, bytes]]:
        return sorted((table, record.descriptor, record.change) for table, record in records)

    assert all(record.is_repair for _, record in repaired)
    assert changes(repaired) == changes(streamed)


async def test_a_change_of_history_is_recorded_and_told(relaying: RelayHarness) -> None:
    """Deleting, emptying and updating history leave a record each, and an exception."""
    await relaying.sql(INTENTS_SQL.format(count=2))
    await relaying.sql(ATTEMPTS_SQL)
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
        await relaying.sql("UPDATE attempts SET amount_minor = 2")
        await relaying.sql("DELETE FROM attempts")
        await relaying.sql("TRUNCATE attempts, outcomes")
        await relaying.caught_up(relay)
        opened = "SELECT count(*) FROM exceptions WHERE kind = 'history_changed'"
        with trio.fail_after(WITHIN_S):
            while await relaying.value(opened) < 6:
                await trio.sleep(0.01)
        assert relay.health.tampering_total == 6
    kinds = [
        (table, record.kind) for table, record in await relaying.stream() if not record.is_repair
    ]
    assert kinds == [
        *[("attempts", b"U")] * 2,
        *[("attempts", b"D")] * 2,
        ("attempts", b"T"),
    ]
    told = await relaying.rows(
        "SELECT detail ->> 'table', detail ->> 'kind', count(*) FROM exceptions"
        " WHERE kind = 'history_changed' GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert told == [
        ("attempts", "D", 2),
        ("attempts", "T", 1),
        ("attempts", "U", 2),
        ("outcomes", "T", 1),
    ]
