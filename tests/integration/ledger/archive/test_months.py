"""Months of the payment tables are dropped when the archive has them whole, and never otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trio

from chassis.crash_points import MONTH_POINTS
from ledger.archive.begin import BEGIN
from ledger.archive.errors import ArchiveError
from ledger.archive.holds import Line
from ledger.archive.manifest import RECORDS, object_name
from ledger.archive.month_notes import note_path, read_month
from ledger.archive.month_rows import compare_month
from ledger.audit.findings import Findings
from ledger.audit.segment_entries import Entries
from ledger.audit.verify_rows import RowsError, RowsPlace, verify_rows
from ledger.audit.whole_stream import WholeStream, checked_head
from ledger.connection import Connection
from ledger.errors import ConnectionLostError, RetryableError
from ledger.partitions import ARCHIVED, detach, hold_tables
from ledger.queries import Query
from ledger.roles import OWNER, READER
from ledger.statements import QUERIES
from ledger.stream.segments.files import shard_folder
from tests.support.archiving import killed_at
from tests.support.months import MERCHANT, MONTH, PAYMENTS, ArchivedMonth, archived_month
from tests.support.postgres import LedgerDSN

WHOLE = {
    "payment_intents": PAYMENTS,
    "payment_intent_details": PAYMENTS,
    "outcomes": PAYMENTS,
    "postings": PAYMENTS,
    "leaves": 6,
}
GONE = {
    "payment_intents": 0,
    "payment_intent_details": PAYMENTS,
    "outcomes": 0,
    "postings": 0,
    "leaves": 1,
}
QUERY_CANCELED = "57014"  # statement_timeout
YEAR_US = 366 * 86_400_000_000


@pytest.fixture
async def month(fresh_ledger_dsn: LedgerDSN, tmp_path: Path) -> AsyncIterator[ArchivedMonth]:
    """A month of twelve captured payments, all of it archived."""
    async with archived_month(fresh_ledger_dsn, tmp_path) as made:
        yield made


async def _folded_differently(month: ArchivedMonth) -> list[Any]:
    return (await month.owner.run(QUERIES["folded_differently"], [(9).to_bytes(8)])).rows()


async def test_a_month_that_is_over_is_dropped(month: ArchivedMonth) -> None:
    """Its partitions are gone, the details stay, the books still fold, and all of it is signed."""
    done = await month.drop()
    assert (done.months, done.rows, done.kept) == ([MONTH.label], 5 * PAYMENTS, {})
    assert await month.counts() == GONE
    assert await _folded_differently(month) == []
    note = read_month(month.work, month.pair.public, MONTH.label)
    assert {name: table.rows for name, table in note.tables.items()} == dict.fromkeys(
        ARCHIVED, PAYMENTS
    )
    [stored] = month.store.names("months/0/")
    assert month.store.get(stored) == note_path(month.work, MONTH.label).read_bytes()
    assert await month.drop() == type(done)([], 0, {})


async def test_a_dry_run_drops_nothing(month: ArchivedMonth) -> None:
    """It compares all the same, and tells what would go."""
    done = await month.drop(dry=True)
    assert (done.months, done.rows) == ([MONTH.label], 5 * PAYMENTS)
    assert await month.counts() == WHOLE
    assert not note_path(month.work, MONTH.label).exists()
    assert await month.relaying.rows("SELECT month FROM archived_months") == []


async def test_passes_see_what_one_does_and_no_snapshot_waits_for_the_archive(
    month: ArchivedMonth,
) -> None:
    """Many passes come to the same digests; while objects are read vacuum may go on."""
    held = []

    def read(findings: Findings) -> Iterator[Entries]:
        with psycopg.connect(month.relaying.dsn.superuser) as looking:
            sql = "SELECT state, backend_xmin FROM pg_stat_activity WHERE pid = %s"
            held.append(looking.execute(sql, [month.owner.backend_process_id]).fetchone())
        yield from month.records.read(month.end, findings)

    alone = await compare_month(month.owner, MONTH, read, keys_max=1_000)
    assert {table.rows for table in alone.values()} == {PAYMENTS}
    assert await compare_month(month.owner, MONTH, read, keys_max=9) == alone
    assert held == [("idle", None)] * (1 + 7)


UNFINISHED = {
    "a payment under way": (
        """
        UPDATE payment_intents SET status = 'processing', live_transaction_id =
        gen_random_uuid() WHERE id = (SELECT min(id::text)::uuid FROM payment_intents)
        """,
        "1 payments are not finished",
    ),
    "an authorization": (
        """
        UPDATE payment_intents SET status = 'authorized', captured_minor = 0,
        capturable_minor = 100
        """,
        "12 payments are not finished",
    ),
    "an advice": (
        """
        INSERT INTO store_and_forward (attempt_id, intent_id, transaction_id, due_at,
        epoch, owner, network, kind) SELECT id, intent_id, transaction_id, now(), 1,
        owner, network, 'reversal' FROM attempts LIMIT 1
        """,
        "1 store_and_forward",
    ),
    "a doubt": (
        """
        INSERT INTO verifications (attempt_id, intent_id, transaction_id, due_at,
        window_ends_at, epoch, owner, network) SELECT id, intent_id, transaction_id,
        now(), now(), 1, owner, network FROM attempts LIMIT 2
        """,
        "2 verifications",
    ),
    "an expiry": (
        """
        INSERT INTO intent_expiry SELECT now(), id FROM payment_intents LIMIT 1
        """,
        "1 expiry",
    ),
    "an exception": (
        """
        INSERT INTO exceptions (intent_id, kind) SELECT id, 'late_approval' FROM
        payment_intents LIMIT 1
        """,
        "1 open exceptions",
    ),
    "a parked event": (
        """
        INSERT INTO stream_parked (consumer_group, shard, partition, record_offset,
        intent_id, reason) SELECT 'postings', 0, 0, 1, id, 'odd' FROM payment_intents
        LIMIT 1
        """,
        "1 parked events",
    ),
    "a key": (
        """
        INSERT INTO idempotency (merchant_id, key_digest, request_hash, intent_id)
        SELECT merchant_id, id, id, id FROM payment_intents LIMIT 1
        """,
        "1 idempotency keys",
    ),
    "a late change": (
        """
        UPDATE payment_intents SET updated_at = now() - interval '80 days',
        refunded_minor = 100
        """,
        "a payment changed less than 90 days ago",
    ),
    "money to give back": (
        """
        UPDATE payment_intents SET updated_at = now() - interval '100 days'
        """,
        "12 payments may still be refunded, within 540 days",
    ),
}


UNDO = """
TRUNCATE store_and_forward, verifications, intent_expiry, exceptions, stream_parked, idempotency;
UPDATE payment_intents SET status = 'succeeded', live_transaction_id = NULL, captured_minor = 100,
    capturable_minor = 0, refunded_minor = 0, updated_at = '2024-02-04Z'
"""


async def test_what_is_not_over_keeps_its_month(month: ArchivedMonth) -> None:
    """One payment that something may still happen to keeps all of them, and is told."""
    for what, (sql, reason) in UNFINISHED.items():
        await month.relaying.sql(sql)
        done = await month.drop()
        assert (done.months, reason in done.kept[MONTH.label]) == ([], True), (what, done.kept)
        assert await month.counts() == WHOLE
        await month.relaying.sql(UNDO)
    assert (await month.drop()).months == [MONTH.label]


TAMPERED = {
    "a row that was changed": "UPDATE attempts SET rrn = '0ABCDEFGHIJZ'",
    "a row that was added": "INSERT INTO outcomes SELECT (jsonb_populate_record(o, "
    '\'{"phase": 2, "from_status": "reversing", "to_status": "reversed"}\')).* '
    "FROM outcomes AS o LIMIT 1",
    "a row that is gone": "DELETE FROM postings WHERE ctid = (SELECT ctid FROM postings LIMIT 1)",
}


@pytest.mark.parametrize("what", TAMPERED)
async def test_rows_that_are_not_the_archived_ones_keep_their_month(
    month: ArchivedMonth, what: str
) -> None:
    """Whatever the stream has not told, and so the archive has not, keeps the month."""
    await month.relaying.sql(TAMPERED[what])
    done = await month.drop()
    assert done.months == []
    assert "it is not in the archive as it is" in done.kept[MONTH.label]
    assert (await month.counts())["leaves"] == WHOLE["leaves"]


async def test_a_column_that_came_since_keeps_no_month(month: ArchivedMonth) -> None:
    """Its default says nothing of a row; values that differ do, and no event tells them."""
    await month.relaying.sql("ALTER TABLE attempts ADD COLUMN hint text DEFAULT 'none'")
    await month.relaying.sql("UPDATE attempts SET hint = 'some' WHERE ctid = '(0,1)'")
    kept = (await month.drop()).kept
    assert kept == {MONTH.label: "the archive does not have the columns attempts.hint"}
    await month.relaying.sql("UPDATE attempts SET hint = 'none'")
    assert (await month.drop()).months == [MONTH.label]


async def test_a_tampered_object_keeps_the_month(month: ArchivedMonth) -> None:
    """An object that is not what was signed is named, and nothing is dropped."""
    path = month.data_dir / "archive" / object_name(0, 0, RECORDS)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = await month.drop()
    assert (done.months, str(path) in done.kept[MONTH.label]) == ([], True)
    assert await month.counts() == WHOLE


async def test_what_was_archived_too_lately_keeps_the_month(month: ArchivedMonth) -> None:
    """Objects that are younger than the grace do not count."""
    month.now_us, now_us = 0, month.now_us
    dropper = month.dropper(now_us=lambda: now_us)
    done = await dropper.run(lambda _done, _of: None, dry=False)
    assert "it is not in the archive" in done.kept[MONTH.label]
    assert await month.counts() == WHOLE


async def test_a_hold_keeps_the_month(month: ArchivedMonth) -> None:
    """Whatever is held, by its merchant, by itself or by the time; another's hold holds nothing."""
    month.hold(merchant=(b"\x09" * 16).hex())
    month.hold(begin_us=0, end_us=YEAR_US)
    held: list[dict[str, Any]] = [
        {"merchant": MERCHANT.hex()},
        {"intent": month.ids[3].hex()},
        {"begin_us": 0, "end_us": 2**60},
    ]
    for what in held:
        number = month.hold(**what)
        done = await month.drop()
        assert done.kept == {MONTH.label: f"legal hold {number} is on it"}
        assert await month.counts() == WHOLE
        line = Line(number=number, action="release", at_us=2, operator="bo", reason="over")
        month.holds.release(month.pair, line)
    assert (await month.drop()).months == [MONTH.label]


async def test_a_month_that_payments_are_in_the_way_of_waits(month: ArchivedMonth) -> None:
    """A lock that is not given in a moment is left to the next run; nothing is half done."""
    await month.relaying.sql("BEGIN; SELECT count(*) FROM outcomes")
    done = await month.drop()
    assert "the tables are busy" in done.kept[MONTH.label]
    await month.relaying.sql("COMMIT")
    assert await month.counts() == WHOLE
    assert (await month.drop()).months == [MONTH.label]


async def test_all_tables_are_waited_for_together(month: ArchivedMonth) -> None:
    """One after the other, each with a limit of its own, they would stop payments for longer."""
    await month.relaying.sql("BEGIN; SELECT count(*) FROM postings")
    await month.owner.script("BEGIN; SET LOCAL lock_timeout = '1min'")
    with pytest.raises(RetryableError) as caught:
        await hold_tables(month.owner, MONTH, wait_ms=100, hold_ms=60_000)
    assert caught.value.sqlstate == QUERY_CANCELED
    await month.owner.script("ROLLBACK")
    await month.relaying.sql("COMMIT")


async def test_who_stands_still_under_the_locks_holds_up_nobody(month: ArchivedMonth) -> None:
    """The server ends the session, as it would a stopped process's, and the month stays."""
    await month.owner.script("BEGIN")
    await hold_tables(month.owner, MONTH, wait_ms=10_000, hold_ms=100)
    with trio.fail_after(10):
        assert await month.counts() == WHOLE
    with pytest.raises(ConnectionLostError, match="25P03"):
        await detach(month.owner, MONTH, operator="ada")


async def test_a_detached_month_that_changed_is_attached_again(month: ArchivedMonth) -> None:
    """What is found behind the detaching brings everything back as it was."""
    await month.dropper()._detach(MONTH)
    await month.relaying.sql(f"UPDATE \"attempts_{MONTH.label}\" SET rrn = '0ABCDEFGHIJZ'")
    assert (await month.counts())["payment_intents"] == 0
    done = await month.drop()
    assert "it is not in the archive as it is" in done.kept[MONTH.label]
    assert await month.counts() == WHOLE
    assert await _folded_differently(month) == []
    assert await month.relaying.rows("SELECT month FROM archived_months") == []


async def test_sums_that_are_not_the_detached_postings_bring_the_month_back(
    month: ArchivedMonth,
) -> None:
    """What is carried on was summed before the locks: it is held to what nobody can change now."""
    await month.dropper()._detach(MONTH)
    await month.relaying.sql("UPDATE carried_sums SET debits_minor = debits_minor + 1")
    done = await month.drop()
    assert done.kept == {MONTH.label: "its postings come to other sums of 2 accounts now"}
    assert await month.counts() == WHOLE
    assert await _folded_differently(month) == []
    assert (await month.drop()).months == [MONTH.label]


@pytest.mark.parametrize("read", ["outcomes", f"outcomes_{MONTH.label}"])
async def test_a_month_that_cannot_be_attached_in_a_moment_waits(
    month: ArchivedMonth, read: str
) -> None:
    """Nobody queues behind it: it stays detached, says so, and the next run attaches it."""
    await month.dropper()._detach(MONTH)
    number = month.hold(intent=month.ids[0].hex())
    await month.relaying.sql(f"BEGIN; SELECT count(*) FROM {read}")
    with trio.fail_after(10):
        kept = (await month.drop()).kept[MONTH.label]
    assert kept.startswith(f"legal hold {number} is on it; it is detached, and the tables are busy")
    await month.relaying.sql("COMMIT")
    assert (await month.drop()).kept == {MONTH.label: f"legal hold {number} is on it"}
    assert await month.counts() == WHOLE
    left = "SELECT count(*) FROM pg_constraint WHERE conname = 'month_ids'"
    assert await month.relaying.value(left) == 0


async def test_a_month_that_cannot_be_dropped_in_a_moment_waits(month: ArchivedMonth) -> None:
    """Whoever reads it keeps it, and nobody else from placing a hold: the next run drops it."""
    await month.dropper()._detach(MONTH)
    await month.relaying.sql(f"BEGIN; SELECT count(*) FROM outcomes_{MONTH.label}")
    with trio.fail_after(10):
        done = await month.drop()
    assert done.broken_off.startswith(f"{MONTH.label}: ")
    assert done.broken_off.endswith("lock timeout")
    await month.relaying.sql("COMMIT")
    assert (await month.drop()).months == [MONTH.label]


async def test_what_cannot_be_undone_follows_from_what_is_on_the_disk(month: ArchivedMonth) -> None:
    """The commits of the detaching and of the dropping wait for it, whatever the role's default."""
    await month.owner.script("SET synchronous_commit = off")
    assert (await month.drop()).months == [MONTH.label]
    [(setting,)] = (await month.owner.run(Query("setting", "SHOW synchronous_commit"))).rows()
    assert setting == "on"


async def test_what_ended_a_run_is_told_beside_what_was_done(month: ArchivedMonth) -> None:
    """A database that fails at one month does not hide that another was dropped."""
    leaf = f"postings_{MONTH.label}"
    await month.relaying.sql("SELECT ensure_partitions('2024-01-01Z', 1)")
    await month.relaying.sql(f"ALTER TABLE {leaf} RENAME TO elsewhere")
    done = await month.drop()
    assert (done.months, done.rows, done.kept) == (["2024_01"], 0, {})
    assert done.broken_off.startswith(f"{MONTH.label}: ")
    await month.relaying.sql(f"ALTER TABLE elsewhere RENAME TO {leaf}")
    assert (await month.drop()).months == [MONTH.label]


async def test_a_detached_month_comes_back_where_none_is_to_go(month: ArchivedMonth) -> None:
    """Who has set archive.database_days back to 0 finds every payment again; a dry run tells."""
    await month.dropper()._detach(MONTH)
    for dry, intents in ((True, 0), (False, PAYMENTS)):
        done = await month.drop(days=0.0, dry=dry)
        kept = {MONTH.label: "archive.database_days is 0: months stay in the tables"}
        assert (done.months, done.kept) == ([], kept)
        assert (await month.counts())["payment_intents"] == intents
    assert (await month.drop(days=0.0)).kept == {}


async def test_a_hold_brings_a_detached_month_back(month: ArchivedMonth) -> None:
    """A hold that comes between detaching and dropping holds."""
    await month.dropper()._detach(MONTH)
    number = month.hold(intent=month.ids[0].hex())
    assert (await month.drop()).kept == {MONTH.label: f"legal hold {number} is on it"}
    assert await month.counts() == WHOLE


RUN = """
import sys, trio
from pathlib import Path
from chassis.crash_points import follow_arming
from ledger.connection import Connection
from tests.support.months import ArchivedMonth
from tests.support.relay import RelayHarness
follow_arming(Path(sys.argv[3]))
async def main():
    owner = await Connection.open(sys.argv[2], connect_timeout_s=10)
    month = ArchivedMonth(RelayHarness(None, Path(sys.argv[1]), "", None, None), owner, [])
    await month.drop()
trio.run(main)
"""


@pytest.mark.parametrize("point", MONTH_POINTS)
async def test_a_drop_killed_at_any_step_is_taken_up(
    month: ArchivedMonth, tmp_path: Path, point: str
) -> None:
    """After kill -9 at a step the next run ends it: nothing is lost, nothing done twice."""
    words = (str(month.data_dir), month.relaying.dsn(OWNER))
    await trio.to_thread.run_sync(killed_at, point, RUN, tmp_path / "crash", *words)
    await month.drop()
    assert await month.counts() == GONE
    assert await _folded_differently(month) == []
    assert (
        await month.relaying.rows("SELECT month FROM archived_months WHERE dropped_at IS NULL")
        == []
    )


async def test_dropped_rows_are_not_missed_by_verifications(month: ArchivedMonth) -> None:
    """With the archive's word the tables fit the stream; without it every row is missed."""
    await month.drop()
    reader = await Connection.open(month.relaying.dsn(READER), connect_timeout_s=10)
    stream = WholeStream(shard_folder(month.data_dir, 0))
    try:
        async with month.relaying.running() as relay:
            await month.relaying.caught_up(relay)
            for unsigned, findings_min in ((lambda _month: "", 0), (lambda _month: "why", 60)):
                findings = Findings()
                place = RowsPlace(reader, stream, month.relaying.slot, 1_000, 15.0, unsigned)
                await verify_rows(place, findings, lambda _done, _of: None)
                assert findings.count >= findings_min, findings.found
                assert bool(findings.count) == bool(findings_min), findings.found
    finally:
        await reader.aclose()


async def test_tables_are_compared_when_the_archive_has_forgotten(month: ArchivedMonth) -> None:
    """What left the tables first is not needed; what is gone without the archive's word is."""
    begin = await month.forget()
    assert begin == month.records.begins_at() > 0
    reader = await Connection.open(month.relaying.dsn(READER), connect_timeout_s=10)
    folder = shard_folder(month.data_dir, 0)
    stream = WholeStream(folder, 0, checked_head(folder, month.pair.public), month.records)
    place = RowsPlace(reader, stream, month.relaying.slot, 1_000, 15.0, lambda _month: "")
    findings = Findings()
    try:
        async with month.relaying.running() as relay:
            await month.relaying.caught_up(relay)
            compared = await verify_rows(place, findings, lambda _done, _of: None)
            assert (findings.found, compared.rows) == ([], 1)
            (month.data_dir / "archive" / object_name(0, begin, BEGIN)).unlink()
            with pytest.raises(RowsError, match="what came before is not in the archive"):
                await verify_rows(place, findings, lambda _done, _of: None)
    finally:
        await reader.aclose()


async def test_only_the_archives_word_counts(month: ArchivedMonth) -> None:
    """A note that was changed, or is missing, says nothing of a month."""
    await month.drop()
    path = note_path(month.work, MONTH.label)
    path.chmod(0o600)
    path.write_text(path.read_text().replace('"ada"', '"bob"'))
    with pytest.raises(ArchiveError, match="does not fit"):
        read_month(month.work, month.pair.public, MONTH.label)
    path.unlink()
    with pytest.raises(ArchiveError, match="is missing"):
        read_month(month.work, month.pair.public, MONTH.label)
