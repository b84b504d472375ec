"""Tables held to the stream: whatever was done to a row behind the WAL's back is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio

from ledger.audit.comparison import Compared
from ledger.audit.findings import Findings
from ledger.audit.verify_rows import RowsError, RowsPlace, verify_rows
from ledger.audit.whole_stream import WholeStream
from ledger.connection import Connection
from ledger.errors import DatabaseError
from ledger.ids import public_id
from ledger.roles import READER
from ledger.stream.segments.files import shard_folder
from tests.support.relay import ATTEMPTS_SQL, BUMP_SQL, INTENTS_SQL, OUTCOMES_SQL, RelayHarness

TRANSACTIONS_SQL = """
INSERT INTO transactions (
    intent_id, id, request_id, amount_minor, intent_version, type, currency
)
SELECT id, uuidv7(), gen_random_uuid(), 100, 1, 'capture', 'usd' FROM payment_intents
"""
NEWEST_SQL = "SELECT id FROM payment_intents ORDER BY id DESC LIMIT 1"
INTENTS = 30
TABLES = ("payment_intents", "transactions", "attempts", "outcomes")
PUBLISHED = {
    "transactions": "transactions (intent_id, id, request_id, amount_minor, created_at, "
    "intent_version, card_exp_year, card_exp_month, final_capture, type, currency, card_brand, "
    "card_last4)"
}
# What somebody may do to a row of each table that the stream shall not tell: a column to change.
COLUMNS = {
    "payment_intents": "amount_minor = amount_minor + 1",
    "transactions": "amount_minor = amount_minor + 1",
    "attempts": "rrn = '0ABCDEFGHIJZ'",
    "outcomes": "approval_code = '999999'",
}
INTENT_COLUMN = {"payment_intents": "id"}

Verify = Callable[..., Awaitable[tuple[Compared, Findings]]]


@pytest.fixture
async def reader(relaying: RelayHarness) -> AsyncIterator[Connection]:
    """A session that may read and nothing else."""
    session = await Connection.open(relaying.dsn(READER), connect_timeout_s=10)
    yield session
    await session.aclose()


@pytest.fixture
async def verify(relaying: RelayHarness, reader: Connection) -> AsyncIterator[Verify]:
    """Rows in every table, all of them in the stream; a relay runs on."""
    await relaying.sql(INTENTS_SQL.format(count=INTENTS))
    await relaying.sql(TRANSACTIONS_SQL)
    async with relaying.running() as relay:
        await relaying.caught_up(relay)
        for sql in (ATTEMPTS_SQL, OUTCOMES_SQL, BUMP_SQL):
            await relaying.sql(sql)
        await relaying.caught_up(relay)

        async def run(keys_max: int = 1_000, wait_s: float = 10.0) -> tuple[Compared, Findings]:
            findings = Findings()
            folder = shard_folder(relaying.folder, 0)
            place = RowsPlace(reader, WholeStream(folder), relaying.slot, keys_max, wait_s)
            return await verify_rows(place, findings, lambda _done, _total: None), findings

        yield run


async def unseen(relaying: RelayHarness, *statements: str) -> None:
    """Do something as a superuser who has taken the tables out of the publication meanwhile."""
    for table in TABLES:
        await relaying.sql(f"ALTER PUBLICATION turnout_events DROP TABLE {table}")
    for sql in statements:
        await relaying.sql(sql)
    for table in TABLES:
        described = PUBLISHED.get(table, table)
        await relaying.sql(f"ALTER PUBLICATION turnout_events ADD TABLE {described}")


async def _intents(relaying: RelayHarness) -> list[bytes]:
    return [row[0] for row in await relaying.rows("SELECT id FROM payment_intents ORDER BY id")]


@pytest.mark.parametrize("keys_max", [1_000, 40])
async def test_tables_as_the_stream_has_them_are_found_well(
    relaying: RelayHarness, verify: Verify, keys_max: int
) -> None:
    """The control, in one pass and in several: every row is compared, all columns of all tables."""
    compared, findings = await verify(keys_max)
    assert findings.found == []
    assert (compared.records, compared.rows) == (INTENTS * 5, INTENTS * 4)
    assert compared.not_compared == set()
    await relaying.sql(BUMP_SQL)
    compared, findings = await verify(keys_max)
    assert (compared.records, findings.found) == (INTENTS * 6, [])


@pytest.mark.parametrize("keys_max", [1_000, 40])
async def test_rows_changed_removed_and_put_in_unseen_are_named(
    relaying: RelayHarness, verify: Verify, keys_max: int
) -> None:
    """In every published table, by table and public id; nothing else is."""
    intents = await _intents(relaying)
    texts = [f"'{one.hex()}'::uuid" for one in intents]
    statements, expected = [], set()
    for table in TABLES:
        column = INTENT_COLUMN.get(table, "intent_id")
        key = {"payment_intents": "id", "outcomes": "attempt_id"}.get(table, "id")
        changed, removed = intents[3], intents[7]
        for intent in (changed, removed):
            row = await relaying.value(
                f"SELECT {key} FROM {table} WHERE {column} = '{intent.hex()}'"
            )
            words = [table, public_id("pi", intent)]
            if table == "transactions":
                words.append(public_id("txn", row))
            elif table != "payment_intents":
                words.append(public_id("att", row))
            if table == "outcomes":
                words.append("phase=1")
            expected.add((" ".join(words), "not what" if intent is changed else "lacks"))
        statements += [
            f"UPDATE {table} SET {COLUMNS[table]} WHERE {column} = {texts[3]}",
            f"DELETE FROM {table} WHERE {column} = {texts[7]}",
        ]
    statements += [
        INTENTS_SQL.format(count=1),
        *(
            f"{sql.rstrip()} WHERE {column} = ({NEWEST_SQL})"
            for sql, column in (
                (TRANSACTIONS_SQL, "id"),
                (ATTEMPTS_SQL, "id"),
                (OUTCOMES_SQL, "intent_id"),
            )
        ),
    ]
    await unseen(relaying, *statements)
    compared, findings = await verify(keys_max)
    found = {(one.where, one.detail) for one in findings.found}
    added = (await _intents(relaying))[-1]
    assert len(found) == findings.count == 3 * len(TABLES)
    for where, reason in expected:
        assert any(one == where and reason in detail for one, detail in found), (where, found)
    put_in = {where for where, detail in found if "the stream does not" in detail}
    assert {where.split()[0] for where in put_in} == set(TABLES)
    assert {where.split()[1] for where in put_in} == {public_id("pi", added)}
    assert compared.rows == INTENTS * 4


@pytest.mark.parametrize("keys_max", [1_000, 40])
async def test_what_the_stream_tells_and_nothing_of_ours_does_is_named(
    relaying: RelayHarness, verify: Verify, keys_max: int
) -> None:
    """History changed or deleted, an intent's version or amount, a key, a table: by record."""
    intents = await _intents(relaying)
    ids = [f"'{one.hex()}'" for one in intents]
    for sql in (
        f"UPDATE attempts SET rrn = '0ABCDEFGHIJZ' WHERE intent_id = {ids[0]}",
        f"DELETE FROM outcomes WHERE intent_id = {ids[1]}",
        f"UPDATE payment_intents SET charge_count = 3 WHERE id = {ids[2]}",
        f"UPDATE payment_intents SET amount_minor = 7, version = 3 WHERE id = {ids[3]}",
        f"UPDATE attempts SET id = gen_random_uuid() WHERE intent_id = {ids[4]}",
        "TRUNCATE transactions",
    ):
        await relaying.sql(sql)
    _, findings = await verify(keys_max)
    said = {" ".join(one.where.split()[:2]): one.detail for one in findings.found}
    assert said == {
        f"attempts {public_id('pi', intents[0])}": (
            "record 150 of the stream changes this row, and rows of history never change"
        ),
        f"outcomes {public_id('pi', intents[1])}": "record 151 of the stream deletes this row",
        f"payment_intents {public_id('pi', intents[2])}": (
            "record 152 of the stream has version 2 after version 2"
        ),
        f"payment_intents {public_id('pi', intents[3])}": (
            "record 153 of the stream changes what an intent has for life"
        ),
        **{
            key: detail
            for key, detail in said.items()
            if "record 154" in detail and key.startswith("attempts ")
        },
        "transactions": "record 155 of the stream empties this table",
    }
    assert f"attempts {public_id('pi', intents[4])}" in said


async def test_a_table_taken_out_of_the_publication_is_named(
    relaying: RelayHarness, verify: Verify
) -> None:
    """Nobody would see its changes; the rows that it has are compared all the same."""
    await relaying.sql("ALTER PUBLICATION turnout_events DROP TABLE outcomes")
    await relaying.sql("UPDATE outcomes SET owner = 'switch-1'")
    _, findings = await verify()
    assert findings.found[0].where == "outcomes"
    assert "it is not published in turnout_events" in findings.found[0].detail
    assert findings.count == 1 + INTENTS


async def test_a_stack_at_work_is_found_well(relaying: RelayHarness, verify: Verify) -> None:
    """Rows come and change while they are compared; none is named."""
    begun, stop = trio.Event(), trio.Event()

    async def work() -> None:
        while not stop.is_set():
            await relaying.sql(INTENTS_SQL.format(count=5))
            await relaying.sql(f"{BUMP_SQL} WHERE id IN ({NEWEST_SQL.replace('1', '20')})")
            begun.set()
            await trio.sleep(0.005)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        await begun.wait()
        for keys_max in (100_000, 150):
            compared, findings = await verify(keys_max)
            assert findings.found == []
            assert compared.rows > INTENTS * 4
        stop.set()


async def test_what_cannot_be_compared_is_said(relaying: RelayHarness, verify: Verify) -> None:
    """A transaction that stays open; a stream that does not come after."""
    writing = await Connection.open(relaying.dsn.superuser, connect_timeout_s=10)
    await writing.script("BEGIN; SELECT pg_current_xact_id()")
    with pytest.raises(RowsError, match=r"open for more than 0\.2 s"):
        await verify(wait_s=0.2)
    await writing.script("ROLLBACK")
    await writing.aclose()
    assert (await verify())[1].found == []


async def test_the_reader_can_write_nothing(reader: Connection) -> None:
    """Whoever verifies needs no right to change what he verifies."""
    with pytest.raises(DatabaseError, match="InsufficientPrivilege"):
        await reader.script("DELETE FROM outcomes")
