"""`make proof PROOF_ARGS=growth`: the ledger at ten million rows against the same ledger empty.

Payments of the past are written by SQL, `BATCH` at a time, in the shape that both commits leave:
an intent that succeeded, its transaction, attempt and outcome, an idempotency key. Their ids lie in
the three months before, which have partitions of their own, so that indexes and visibility maps are
as they would be. Then everything is vacuumed and analyzed, and

- both commits are measured as `turnout bench ledger` does, on the same server before and after;
- every named query is explained without values, as sessions plan it: none may read a table from
  end to end that grows with payments;
- the shares of dead rows and of HOT updates are read from the statistics.

What reads a whole table by design is named in `WHOLE` and not explained.
"""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
import trio

from benchmarks.ledger import Round, Workplace, measured_round, prepared, through_both, workplace
from benchmarks.report import Document, WrongResultsError, bench_document, progress
from benchmarks.workplace import durability
from chassis.settings.tree import Ledger
from ledger.connection import Connection
from ledger.dsn import hot_settings
from ledger.queries import Query
from ledger.statements import QUERIES

BATCH: Final = 50_000  # payments a statement
LOAD_ANSWER_S: Final = 600.0  # the vacuum of everything is one statement
ROWS_A_PAYMENT: Final = 5
MONTHS: Final = 3
SPEED_RATIO_MIN: Final = 0.9  # of the empty ledger's
HOT_RATIO_MIN: Final = 0.9
DEAD_RATIO_MAX: Final = 0.2
# Tables with a row or more a payment, by their names and those of their partitions.
GROWING: Final = re.compile(
    r"Seq Scan on (payment_intents|payment_intent_details|intent_terms|transactions|attempts"
    r"|outcomes|idempotency|merchant_references|postings)\w*"
)
PLANNED: Final = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")  # not BEGIN, say
_PAST_SQL: Final = """
SELECT ensure_partitions(now() - make_interval(months => {months}), {months} + 1)
"""
# A UUIDv7 at an instant of the past, its random part from gen_random_uuid().
_LOAD_SQL: Final = """
WITH made AS MATERIALIZED (
    SELECT uuidv7(make_interval(secs => -random() * 86400 * 30 * {months})) AS id,
           gen_random_uuid() AS transaction_id, gen_random_uuid() AS attempt_id,
           gen_random_uuid() AS request_id, n
    FROM generate_series(1, {count}) AS n
), intents AS (
    INSERT INTO payment_intents (
        id, merchant_id, amount_minor, captured_minor, version, charge_count, live, currency, status
    )
    SELECT id, md5((n % 20)::text)::uuid, 900, 900, 3, 1, false, 'usd', 'succeeded' FROM made
), bought AS (
    INSERT INTO transactions (
        intent_id, id, request_id, fingerprint, card_digest, amount_minor, intent_version,
        card_exp_year, card_exp_month, type, currency, card_brand, card_last4, sealed_card
    )
    SELECT id, transaction_id, request_id, gen_random_uuid(), gen_random_uuid(), 900, 2,
           2030, 12, 'charge', 'usd', 'visa', '4242', sha256(id::text::bytea)
    FROM made
), tried AS (
    INSERT INTO attempts (
        intent_id, id, transaction_id, amount_minor, deadline_at, epoch, owner, network,
        acquirer_id, mti, stan, rrn, de7, currency
    )
    SELECT id, attempt_id, transaction_id, 900, now() - interval '1 day', 1, 'bench', 'vsim',
           '400001', '0200', lpad((n % 1000000)::text, 6, '0'), lpad(n::text, 12, '0'),
           '0101000000', 'usd'
    FROM made
), known AS (
    INSERT INTO idempotency (merchant_id, key_digest, request_hash, intent_id, transaction_id)
    SELECT md5((n % 20)::text)::uuid, gen_random_uuid(), gen_random_uuid(), id, transaction_id
    FROM made
)
INSERT INTO outcomes (
    intent_id, attempt_id, transaction_id, request_id, at, intent_version, epoch, phase, owner,
    actor, result, from_status, to_status, intent_status, response_code, approval_code
)
SELECT id, attempt_id, transaction_id, request_id, now() - interval '1 day', 3, 1, 1, 'bench',
       'network:vsim', 'approved', 'pending', 'succeeded', 'succeeded', '00', 'A1B2C3'
FROM made
"""
_ROWS: Final = Query(
    "rows_and_bytes",
    "SELECT sum(n_live_tup)::int8, sum(n_dead_tup)::int8, pg_database_size(current_database())"
    " FROM pg_stat_user_tables",
)
# Read a whole table because that is what they are for.
WHOLE: Final = frozenset({"folded_differently"})  # turnout ledger trial-balance --full


def run(
    *, payments: int = 2_000_000, charges: int = 20_000, rounds: int = 3, batch: int = 128
) -> Document:
    """Load, measure before and after, explain, and return the document.

    Args:
        payments: of the past, five rows each.
        charges: a round.
        rounds: before, and again after.
        batch: charges a commit.

    Raises:
        WrongResultsError: a named query reads a growing table from end to end, the commits have
            become slower than they may, or too many rows are dead or moved.
        UnrealStorageError: fsync is off, or the data lies in memory.
    """
    with tempfile.TemporaryDirectory(prefix="turnout-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the server may run under a uid of its own
        facts, results = trio.run(partial(_measure, folder, payments, charges, rounds, batch))
    judge(results)
    return bench_document(
        "growth",
        parameters={
            **facts,
            "payments": payments,
            "charges": charges,
            "rounds": rounds,
            "batch": batch,
        },
        results=results,
        cpu_us_per_op={},
    )


async def _measure(
    folder: Path, payments: int, charges: int, rounds: int, batch: int
) -> tuple[dict[str, str], dict[str, float]]:
    async with workplace(folder) as place:
        facts = durability(place.postgres.superuser_dsn(), folder)
        await through_both(place, await prepared(place, charges), batch)
        empty = [await _round(place, charges, batch) for _ in range(rounds)]
        began = time.perf_counter()
        await _load(place, payments)
        loaded_s = time.perf_counter() - began
        full = [await _round(place, charges, batch) for _ in range(rounds)]
        [(live, dead, size)] = (await place.superuser.run(_ROWS)).rows()
        dsn = place.postgres.superuser_dsn()
        explained = await trio.to_thread.run_sync(_explain, dsn)
    before = statistics.median(one.charges_per_s for one in empty)
    after = statistics.median(one.charges_per_s for one in full)
    return facts, {
        "rows": live,
        "bytes": size,
        "load_s": loaded_s,
        "empty_charges_per_s": before,
        "charges_per_s": after,
        "speed_ratio": after / before,
        "hot_update_ratio": statistics.median(one.hot_ratio for one in full),
        "dead_ratio": dead / live,
        "queries": explained,
        "load_cpu_us": 0.0,
    }


async def _round(place: Workplace, charges: int, batch: int) -> Round:
    measured = await measured_round(place, await prepared(place, charges), batch)
    progress(f"bench growth: {measured.charges_per_s:,.0f} charges/s")
    return measured


async def _load(place: Workplace, payments: int) -> None:
    """Write the past, and leave it as autovacuum would."""
    session = await Connection.open(
        place.postgres.superuser_dsn(), connect_timeout_s=10.0, answer_timeout_s=LOAD_ANSWER_S
    )
    try:
        await session.script(_PAST_SQL.format(months=MONTHS))
        for first in range(0, payments, BATCH):
            count = min(BATCH, payments - first)
            await session.script(_LOAD_SQL.format(count=count, months=MONTHS))
            progress(f"bench growth: {(first + count) * ROWS_A_PAYMENT:,} rows")
        await session.script("VACUUM (ANALYZE)")
        await session.script("CHECKPOINT")
    finally:
        await session.aclose()


def _explain(dsn: str) -> int:
    """Plan every named query as sessions do; how many there are.

    Raises:
        WrongResultsError: naming those that read a growing table from end to end.
    """
    options = " ".join(f"-c {name}={value}" for name, value in hot_settings(Ledger()).items())
    scans: set[str] = set()
    queries = [
        query
        for name, query in sorted(QUERIES.items())
        if name not in WHOLE and PLANNED.match(query.sql)
    ]
    with psycopg.connect(dsn, options=options, autocommit=True) as session:
        for query in queries:
            # Parameters of GENERIC_PLAN have no values, which only the simple protocol can leave
            # out.
            plan = session.execute(f"EXPLAIN (GENERIC_PLAN) {query.sql}".encode()).fetchall()
            found = [match for (line,) in plan if (match := GROWING.search(line))]
            scans |= {f"{query.name}: {match[1]}" for match in found}
    if scans:
        raise WrongResultsError(f"read from end to end: {'; '.join(sorted(scans))}")
    return len(queries)


def judge(results: dict[str, float]) -> None:
    """Hold the figures to their bounds."""
    for name, least in (("speed_ratio", SPEED_RATIO_MIN), ("hot_update_ratio", HOT_RATIO_MIN)):
        if results[name] < least:
            raise WrongResultsError(f"{name} is {results[name]:.3f}, less than {least}")
    if results["dead_ratio"] > DEAD_RATIO_MAX:
        raise WrongResultsError(f"{results['dead_ratio']:.3f} of all rows are dead")
