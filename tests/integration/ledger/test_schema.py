"""The schema holds what the tables of states and the roles promise, and plans stay bounded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest
import trio

from ledger.archive.month_rows import SECRETS
from ledger.dsn import hot_settings
from ledger.errors import DatabaseError, RowError
from ledger.lifecycle import (
    ADMITS,
    ADVICE_CODES,
    ATTEMPT_KINDS,
    ATTEMPT_RESULTS,
    DECLINE_CLASSES,
    EXPIRES,
    INTENT_STATUSES,
    OUTCOME_STEPS,
    PENDING_REMARKS,
    PHASE_FROM,
    SAF_KINDS,
    SAF_RESOLUTIONS,
    TRANSACTION_TYPES,
)
from ledger.partitions import ARCHIVED, PARTITIONED, stray_rows
from ledger.pgtypes import text_array
from ledger.queries import Query
from ledger.statements import QUERIES, without_skipping
from tests.support.ledger import LIMITS, charge, intent, open_ledger, outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.ledger import LedgerHarness
    from tests.support.postgres import LedgerDSN, PostgresServer

INSERT_ONLY = [
    "payment_intent_details",
    "intent_terms",
    "transactions",
    "attempts",
    "outcomes",
    "postings",
    "idempotency",
    "operator_actions",
]
INSUFFICIENT_PRIVILEGE = "42501"
ROLES = [
    "turnout_api",
    "turnout_switch",
    "turnout_admin",
    "turnout_reader",
    "turnout_relay",
    "turnout_postings",
]


async def _constraint(ledger: LedgerHarness, name: str) -> str:
    rows = await ledger.rows(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conname = $1::text AND coninhcount = 0",
        name.encode(),
    )
    assert len(rows) == 1, name
    return str(rows[0][0])


def _words(text: str) -> set[str]:
    return set(re.findall(r"'([a-z_]*)'::text", text))


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ("payment_intents_status", INTENT_STATUSES),
        ("transactions_type", TRANSACTION_TYPES),
        ("outcomes_phase_1", {*ATTEMPT_RESULTS[1], *PHASE_FROM[1]}),
        ("outcomes_phase_2", {*ATTEMPT_RESULTS[2], *PHASE_FROM[2]}),
        ("outcomes_remark", {"pending", *PENDING_REMARKS}),
        ("outcomes_advice", {"", *ADVICE_CODES}),
        ("attempts_kind", ATTEMPT_KINDS),
        ("store_and_forward_kind", SAF_KINDS),
        ("store_and_forward_resolution", {"", *SAF_RESOLUTIONS}),
        ("declines_class", DECLINE_CLASSES),
    ],
)
async def test_constraints_and_tables_name_the_same_words(
    ledger: LedgerHarness, constraint: str, words: Iterable[str]
) -> None:
    """Whatever status, type or result Python knows, Postgres allows, and nothing else."""
    assert _words(await _constraint(ledger, constraint)) == set(words)


async def test_the_step_constraint_is_the_transition_table(ledger: LedgerHarness) -> None:
    """Each from-status leads in SQL where it leads in the table."""
    text = await _constraint(ledger, "outcomes_step")
    steps = re.findall(r"WHEN '(\w+)'::text THEN (.*?)(?=WHEN|ELSE)", text, re.DOTALL)
    found = {status: _words(targets) for status, targets in steps}
    assert found == {status: set(to) for status, to in OUTCOME_STEPS.items()}


def test_statements_admit_and_expire_what_the_tables_say() -> None:
    """The guards inside the SQL texts are the tables' rows."""
    record = re.search(r"p\.status IN \(([^)]*)\)", QUERIES["record_charges"].sql)
    sweep = re.search(r"p\.status IN \(([^)]*)\) AND", QUERIES["sweep_expired"].sql)
    assert record is not None
    assert sweep is not None
    assert set(re.findall(r"\w+", record[1])) == ADMITS["charge"]
    assert set(re.findall(r"\w+", sweep[1])) == EXPIRES


@pytest.mark.parametrize(
    "change",
    [
        "status = 'processing'",
        "status = 'pending_verification'",
        "status = 'nonsense'",
        "status = 'succeeded', live_transaction_id = gen_random_uuid()",
        "status = 'canceled'",
        "canceled_by = 'expiry'",
        "reversing = true",
        "captured_minor = 2500",
        "captured_minor = 1000, capturable_minor = 1500",
        "captured_minor = -1",
        "captured_minor = 100, refunded_minor = 60, refund_pending_minor = 41",
        "amount_minor = 0",
        "amount_minor = 1000000000000",
        "version = 0",
    ],
)
async def test_an_impossible_intent_is_refused(ledger: LedgerHarness, change: str) -> None:
    """Mutex, amounts and statuses that contradict each other cannot be stored by anybody."""
    [of] = await ledger.created()
    with pytest.raises(RowError):
        await ledger.rows(
            f"UPDATE payment_intents SET {change} WHERE id = $1::uuid RETURNING id", of.intent_id
        )


async def _sqlstate(ledger: LedgerHarness, role: str, sql: str) -> str:
    """What the server says to a statement of a role: a SQLSTATE, or empty if it ran."""
    session = await ledger.session(role)
    try:
        await session.script(sql)
    except DatabaseError as error:
        return error.sqlstate
    return ""


@pytest.mark.parametrize("role", ROLES)
async def test_history_is_insert_only(ledger: LedgerHarness, role: str) -> None:
    """No role may change, delete or truncate it, through the parent or through a partition."""
    session = await ledger.session(role)
    [(partition,)] = await ledger.rows(
        "SELECT min(inhrelid::regclass::text) FROM pg_inherits"
        " WHERE inhparent = 'outcomes'::regclass"
    )
    for table in [*INSERT_ONLY, partition]:
        column = "note" if table == "operator_actions" else "intent_id"
        for statement in (
            f"UPDATE {table} SET {column} = {column}",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
        ):
            with pytest.raises(DatabaseError) as refused:
                await session.script(statement)
            assert refused.value.sqlstate == INSUFFICIENT_PRIVILEGE, statement


@pytest.mark.parametrize(
    ("role", "sql"),
    [
        ("turnout_api", "SELECT sealed_card FROM transactions"),
        ("turnout_reader", "SELECT sealed_card FROM transactions"),
        ("turnout_reader", "SELECT fingerprint FROM transactions"),
        ("turnout_reader", "SELECT sealed_card FROM transactions_default"),
        ("turnout_reader", "SELECT 1 FROM api_keys"),
        ("turnout_reader", "SELECT sealed_bank_account FROM merchants"),
        ("turnout_switch", "SELECT 1 FROM api_keys"),
        ("turnout_switch", "UPDATE payment_intents SET amount_minor = 1"),
        ("turnout_switch", "UPDATE payment_intents SET merchant_id = id"),
        ("turnout_switch", "INSERT INTO payment_intents (id) VALUES (gen_random_uuid())"),
        ("turnout_api", "UPDATE payment_intents SET status = 'succeeded'"),
        ("turnout_api", "INSERT INTO transactions (id) VALUES (gen_random_uuid())"),
        ("turnout_api", "INSERT INTO outcomes (intent_id) VALUES (gen_random_uuid())"),
        ("turnout_api", "UPDATE api_keys SET status = 'active'"),
        ("turnout_admin", "SELECT 1 FROM transactions"),
        ("turnout_admin", "SELECT 1 FROM payment_intents"),
        ("turnout_admin", "UPDATE store_and_forward SET manual = false"),
        ("turnout_admin", "DELETE FROM store_and_forward"),
        ("turnout_admin", "UPDATE exceptions SET note = ''"),
        ("turnout_admin", "INSERT INTO operator_actions (operator) VALUES ('a')"),
        ("turnout_switch", "INSERT INTO operator_actions (operator) VALUES ('a')"),
        ("turnout_switch", "UPDATE exceptions SET closed_at = now()"),
        ("turnout_switch", "SELECT operator_saf_retry(gen_random_uuid(), 'a', '')"),
        ("turnout_switch", "SELECT operator_saf_resolve(gen_random_uuid(), '', 'a', '')"),
        ("turnout_switch", "SELECT operator_close_exception(1, 'a', '')"),
        ("turnout_reader", "SELECT 1 FROM declines"),
        ("turnout_admin", "SELECT 1 FROM declines"),
        ("turnout_api", "SELECT 1 FROM declines"),
        ("turnout_api", "SELECT 1 FROM exceptions"),
        ("turnout_api", "DELETE FROM verifications"),
        ("turnout_api", "SELECT expire_idempotency(1)"),
        ("turnout_admin", "SELECT expire_idempotency(1)"),
        ("turnout_api", "SELECT ensure_partitions(now(), 1)"),
        ("turnout_reader", "CREATE TABLE mine (a int)"),
        ("turnout_relay", "SELECT sealed_card FROM transactions"),
        ("turnout_relay", "SELECT 1 FROM payment_intent_details"),
        ("turnout_relay", "SELECT 1 FROM idempotency"),
        ("turnout_relay", "UPDATE payment_intents SET status = 'succeeded'"),
        ("turnout_relay", "UPDATE exceptions SET note = ''"),
        ("turnout_relay", "SELECT operator_relay_repair('a', gen_random_uuid(), 'a', '')"),
        ("turnout_reader", "SELECT pg_create_logical_replication_slot('mine', 'test_decoding')"),
        ("turnout_switch", "UPDATE relays SET approved_case = NULL"),
        ("turnout_admin", "UPDATE relays SET approved_case = NULL"),
    ],
)
async def test_roles_stay_in_their_rooms(ledger: LedgerHarness, role: str, sql: str) -> None:
    """The sealed card is the switch's alone; only the switch changes intents; and so on."""
    assert await _sqlstate(ledger, role, sql) == INSUFFICIENT_PRIVILEGE


@pytest.mark.parametrize(
    ("role", "sql"),
    [
        ("turnout_switch", "SELECT sealed_card FROM transactions"),
        ("turnout_reader", "SELECT id, intent_version FROM transactions"),
        ("turnout_api", "SELECT status FROM transaction_states"),
        ("turnout_admin", "SELECT sealed_bank_account FROM merchants"),
        ("turnout_switch", "SELECT ensure_partitions(now(), 1)"),
        ("turnout_switch", "SELECT expire_idempotency(1)"),
        ("turnout_switch", "SELECT fingerprint FROM declines"),
        ("turnout_admin", "SELECT operator_saf_retry(gen_random_uuid(), 'a', '')"),
        ("turnout_admin", "SELECT operator_close_exception(0, 'a', '')"),
        ("turnout_reader", "SELECT 1 FROM verifications, exceptions, operator_actions"),
        ("turnout_relay", "SELECT id, intent_version FROM transactions"),
        ("turnout_admin", "SELECT operator_relay_repair('a', gen_random_uuid(), 'a', '')"),
    ],
)
async def test_roles_reach_what_is_theirs(ledger: LedgerHarness, role: str, sql: str) -> None:
    """The refusals above are about rights, not about a broken log-in."""
    assert await _sqlstate(ledger, role, sql) == ""


async def test_the_publication_leaves_cards_and_keys_out(ledger: LedgerHarness) -> None:
    """Six tables through their roots, deletes too; never card data or idempotency."""
    tables = await ledger.rows(
        "SELECT tablename::text, attnames FROM pg_publication_tables"
        " WHERE pubname = 'turnout_events' ORDER BY tablename"
    )
    assert [table for table, _ in tables] == [
        "attempts",
        "outcomes",
        "payment_intents",
        "postings",
        "restores",
        "transactions",
    ]
    columns = dict(tables)
    assert not {"sealed_card", "card_digest", "fingerprint"} & set(columns["transactions"])
    assert {"id", "intent_id", "intent_version", "card_last4"} <= set(columns["transactions"])
    [options] = await ledger.rows(
        "SELECT pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot FROM pg_publication"
    )
    assert options == (True, True, True, True, True)


async def test_what_leaves_the_tables_is_published_to_the_last_column(
    ledger: LedgerHarness,
) -> None:
    """A month is dropped for what its rows told the stream; but for cards, that must be all."""
    unpublished = await ledger.rows(
        "SELECT a.attrelid::regclass::text || '.' || a.attname FROM pg_attribute AS a"
        " JOIN pg_publication_tables AS t ON t.tablename = a.attrelid::regclass::text"
        " WHERE t.pubname = 'turnout_events' AND t.tablename = ANY ($1::text[])"
        " AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (t.attnames)",
        text_array(ARCHIVED),
    )
    assert {column for (column,) in unpublished} == SECRETS


async def test_the_intent_row_is_small(ledger: LedgerHarness) -> None:
    """Under 300 bytes in its longest state, the key first."""
    [of] = await ledger.created(amount_minor=999_999_999_999)
    row = charge(of)
    await ledger.charges.record([row], lane="fast")
    await ledger.outcomes.settle([outcome(row, "unknown")])
    [(size,)] = await ledger.rows(
        "SELECT pg_column_size(p.*) FROM payment_intents p WHERE p.id = $1::uuid", of.intent_id
    )
    assert size < 300
    first = await ledger.rows(
        "SELECT attname::text FROM pg_attribute WHERE attnum = 1"
        " AND attrelid = ANY ("
        "'{payment_intents,transactions,attempts,outcomes,postings}'::regclass[])"
    )
    assert {name for (name,) in first} == {"id", "intent_id"}


async def test_no_index_names_a_column_that_changes(ledger: LedgerHarness) -> None:
    """Indexes of the intent hold its key, merchant and amount, nothing an update touches."""
    names = await ledger.rows(
        "SELECT DISTINCT a.attname::text FROM pg_index i"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
        " WHERE i.indrelid = 'payment_intents'::regclass"
    )
    assert {name for (name,) in names} == {"id", "merchant_id", "live", "amount_minor"}
    [(predicates,)] = await ledger.rows(
        "SELECT count(*) FROM pg_index WHERE indpred IS NOT NULL"
        " AND indrelid::regclass::text NOT LIKE 'pg_%'"
    )
    assert predicates == 0


@pytest.fixture(scope="module")
def empty_dsn(postgres: PostgresServer) -> LedgerDSN:
    """A database in which no table has ever held a row."""
    return postgres.create_database()


HOT_QUERIES = [
    QUERIES["record_charges"],
    without_skipping(QUERIES["record_charges"]),
    QUERIES["read_charge_findings"],
    QUERIES["settle_outcomes"],
    QUERIES["read_outcome_findings"],
    QUERIES["find_keys"],
    QUERIES["read_transaction_states"],
    QUERIES["sweep_expired"],
    QUERIES["open_attempts"],
    QUERIES["hold_lease"],
    QUERIES["lock_intents"],
    QUERIES["find_held_intents"],
    QUERIES["read_transaction_views"],
    QUERIES["read_attempt_views"],
    QUERIES["lock_saf_rows"],
    QUERIES["lock_verification_rows"],
    QUERIES["read_decision_keys"],
    QUERIES["read_sealed_cards"],
    QUERIES["change_intents"],
    QUERIES["free_references"],
    QUERIES["change_saf_rows"],
    QUERIES["drop_saf_rows"],
    QUERIES["change_verification_rows"],
    QUERIES["drop_verification_rows"],
    QUERIES["due_saf"],
    QUERIES["count_saf_sends"],
    QUERIES["due_verifications"],
    QUERIES["recent_declines"],
    QUERIES["forget_declines"],
    QUERIES["network_totals"],
    QUERIES["open_verifications"],
    QUERIES["close_verifications"],
    QUERIES["expire_authorizations"],
    QUERIES["remember_settled_declines"],
    QUERIES["record_completions"],
    QUERIES["acknowledge_advices"],
    QUERIES["find_acknowledged"],
    QUERIES["find_attempts"],
]
API_QUERIES = [
    QUERIES["create_intents"],
    QUERIES["release_unclaimed_references"],
    QUERIES["read_creation_findings"],
    QUERIES["get_intents"],
    QUERIES["list_intents"],
    QUERIES["list_intents_by_amount"],
    QUERIES["list_intents_by_term"],
    QUERIES["read_timeline"],
]
# Conditions that tie an index scan to the batch, to one merchant or to a bounded queue.
BOUND = re.compile(
    r"(\bid|intent_id|attempt_id|merchant_id|switch|due_at|\bat|owner|reference|bucket)"
    r" (=|<=|>=|>|<)"
    r"|ROW\(at, attempt_id\) >|= ANY|Conflict"
)


@pytest.mark.parametrize(
    ("role", "query"),
    [("turnout_switch", query) for query in HOT_QUERIES]
    + [("turnout_api", query) for query in API_QUERIES],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_plans_made_on_empty_tables_stay_bounded(
    empty_dsn: LedgerDSN, role: str, query: Query
) -> None:
    """A generic plan lives as long as its session: no scan may grow with the table."""
    options = " ".join(f"-c {name}={value}" for name, value in hot_settings(LIMITS).items())
    with psycopg.connect(empty_dsn(role), options=options) as session:
        # Parameters of GENERIC_PLAN have no values, which only the simple protocol can leave out.
        lines = session.execute(f"EXPLAIN (GENERIC_PLAN) {query.sql}".encode()).fetchall()
    plan = [str(line) for (line,) in lines]
    assert not [line for line in plan if "Seq Scan" in line]
    for line, condition in zip(plan, [*plan[1:], ""], strict=True):
        if re.search(r"Index (Only )?Scan", line):
            assert "Index Cond" in condition, f"{line} reads all of its index"
            assert BOUND.search(condition), f"{line} is not bound: {condition}"


@pytest.mark.parametrize("order", ["created", "random"])
async def test_updates_stay_on_their_page(postgres: PostgresServer, order: str) -> None:
    """Nine of ten updates of the intent row are HOT, even if one commit touches a whole page."""
    dsn = await trio.to_thread.run_sync(postgres.create_database)
    async with open_ledger(dsn) as ledger:
        intents = [of for _ in range(4) for of in await ledger.created(500)]
        if order == "random":
            intents.sort(key=lambda of: of.client_secret_hash)
        for first in range(0, len(intents), 100):
            rows = [charge(of) for of in intents[first : first + 100]]
            await ledger.charges.record(rows, lane="fast")
            await ledger.outcomes.settle([outcome(row) for row in rows])
        updated, hot = await _update_statistics(ledger, 4_000)
        assert hot >= 0.9 * updated


async def _update_statistics(ledger: LedgerHarness, expected: int) -> tuple[int, int]:
    """Updates of intents and how many of them were HOT, once sessions have reported theirs."""
    await ledger.charges.aclose()
    await ledger.outcomes.aclose()
    updated = hot = 0
    with trio.fail_after(5):  # a session reports its statistics when it ends
        while updated < expected:
            [(updated, hot)] = await ledger.rows(
                "SELECT sum(pg_stat_get_tuples_updated(inhrelid))::bigint,"
                " sum(pg_stat_get_tuples_hot_updated(inhrelid))::bigint"
                " FROM pg_inherits WHERE inhparent = 'payment_intents'::regclass"
            )
    return updated, hot


async def test_rows_outside_every_month_land_in_the_default_partition(
    ledger: LedgerHarness,
) -> None:
    """An id from 1970 is stored, and the alarm names the tables."""
    reader = await ledger.session("turnout_reader")
    assert await stray_rows(reader) == []
    old = intent(ledger.merchant_id, intent_id=bytes(6) + b"\x70" + bytes(9))
    await ledger.intents.create([old])
    assert await stray_rows(reader) == ["payment_intents", "payment_intent_details"]
    row = charge(old)
    assert (await ledger.charges.record([row], lane="fast"))[0] is not None
    await ledger.outcomes.settle([outcome(row)])
    await ledger.rows(
        "INSERT INTO postings (intent_id, source_event, leg, pending, live, transaction_id,"
        " debit_account, credit_account, amount_minor, occurred_at, currency, kind)"
        " SELECT $1::uuid, uuidv7(), 0, false, false, uuidv7(), uuidv7(), uuidv7(), 1, now(),"
        " 'usd', 'capture'",
        old.intent_id,
    )
    assert await stray_rows(reader) == list(PARTITIONED)
