"""`turnout bench ledger`: charges through both commits, against a Postgres of its own on a disk.

An op is one charge: commit 1 in batches of `batch`, and commit 2 of the same batches behind it, as
the switch runs them, one committer each, with the commits of both kinds overlapping. Tables are
loaded and charged before the clock starts, keys are random, intents come in a random order within
a window of 2,000 around that of their creation, 5 % of the charges are declined, and every round
has a checkpoint inside, so that it pays for its full-page images.

`cpu_us_per_op` splits into `committers`, the product's code on our side (packing, protocol,
verdicts), and `postgres`, all of its processes. Rows are built before the clock starts.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio
from msgspec.structs import replace

from benchmarks.report import (
    Document,
    WrongResultsError,
    bench_document,
    process_cpu_s,
    progress,
)
from benchmarks.workplace import durability
from chassis.log import get_logger
from chassis.settings.tree import Ledger, Supervisor
from ledger.charges import ChargeCommitter
from ledger.connection import Connection
from ledger.deciding.committer import DecisionCommitter
from ledger.dsn import hot_settings
from ledger.embedded import EmbeddedPostgres
from ledger.ids import UUID7Source
from ledger.intents import Intents
from ledger.leases import begin_epoch
from ledger.lifecycle import CHARGE_SETTLEMENTS
from ledger.migrate import migrate
from ledger.outcomes import OutcomeCommitter
from ledger.queries import Query
from ledger.records import ChargeToRecord, IntentToCreate, OutcomeToRecord, Won
from ledger.roles import API, OWNER, ROLES, SWITCH, ensure_roles

MERCHANTS: Final = 20
CREATE_BATCH: Final = 500
ORDER_WINDOW: Final = 2_000  # charges come in about the order in which intents were created
DECLINED_SHARE: Final = 0.05
SWITCH_NAME: Final = "bench"
DAY_US: Final = 86_400_000_000

# What a round cost, as the server counts it; rows of all tables, indexes not counted.
_WAL: Final = Query(
    "wal_written", "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8"
)
_ROWS: Final = Query(
    "rows_written",
    "SELECT sum(n_tup_ins + n_tup_upd)::int8, sum(n_tup_upd)::int8, sum(n_tup_hot_upd)::int8"
    " FROM pg_stat_user_tables",
)
_COUNTS: Final = Query(
    "rows_of_charges",
    "SELECT (SELECT count(*) FROM transactions), (SELECT count(*) FROM attempts),"
    " (SELECT count(*) FROM outcomes),"
    " (SELECT count(*) FROM payment_intents WHERE status IN ('succeeded', 'failed'))",
)


@attrs.frozen
class Round:
    """What one stretch of load gave."""

    charges_per_s: float
    row_writes: float  # a charge
    wal_bytes: float
    hot_ratio: float
    committers_us: float
    postgres_us: float


@attrs.frozen
class Workplace:
    """A fresh ledger with its sessions and committers."""

    postgres: EmbeddedPostgres
    superuser: Connection
    intents: Intents
    charges: ChargeCommitter
    outcomes: OutcomeCommitter
    decisions: DecisionCommitter


def run(
    *, charges: int = 40_000, rounds: int = 5, batch: int = 128, preload: int = 40_000
) -> Document:
    """Measure and return the benchmark's document; figures are medians of the rounds.

    Args:
        charges: a round.
        rounds: on one server, one after the other.
        batch: charges a commit.
        preload: charges through both commits before the first round.

    Raises:
        WrongResultsError: a charge was not won, an outcome did not advance, or rows are missing.
        UnrealStorageError: fsync is off, or the data lies in memory.
    """
    with tempfile.TemporaryDirectory(prefix="turnout-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the server may run under a uid of its own
        facts, measured = trio.run(partial(_measure, folder, charges, rounds, batch, preload))

    def median(figure: str) -> float:
        return float(statistics.median(getattr(one, figure) for one in measured))

    return bench_document(
        "ledger",
        parameters={
            **facts,
            "charges": charges,
            "rounds": rounds,
            "batch": batch,
            "preload": preload,
            "wal_level": "logical",
            "relay": False,
        },
        results={
            "charges_per_s": median("charges_per_s"),
            "row_writes_per_charge": median("row_writes"),
            "wal_bytes_per_charge": median("wal_bytes"),
            "hot_update_ratio": median("hot_ratio"),
            "load_cpu_us": 0.0,
        },
        cpu_us_per_op={
            "committers": median("committers_us"),
            "postgres": median("postgres_us"),
        },
    )


async def _measure(
    folder: Path, charges: int, rounds: int, batch: int, preload: int
) -> tuple[dict[str, str], list[Round]]:
    async with workplace(folder) as place:
        facts = durability(place.postgres.superuser_dsn(), folder)
        progress(f"bench ledger: loading {preload:,} charges")
        await through_both(place, await prepared(place, preload), batch)
        measured = []
        for number in range(1, rounds + 1):
            rows = await prepared(place, charges)
            measured.append(await measured_round(place, rows, batch))
            progress(
                f"bench ledger: round {number} of {rounds}: "
                f"{measured[-1].charges_per_s:,.0f} charges/s"
            )
        await _check(place, preload + rounds * charges)
    return facts, measured


@asynccontextmanager
async def workplace(folder: Path) -> AsyncIterator[Workplace]:
    """A migrated ledger on a Postgres of its own, with a lease and committers."""
    settings = Ledger()
    uid = Supervisor().uid_base if os.geteuid() == 0 else None
    postgres = EmbeddedPostgres(
        data_dir=folder, socket_dir=folder / "run", settings=settings, uid=uid
    )
    await postgres.start()
    try:
        passwords = {role: os.urandom(12).hex() for role in ROLES}
        await ensure_roles(postgres.superuser_dsn(), passwords)
        await migrate(postgres.dsn(OWNER, passwords[OWNER]), log=get_logger(__name__))

        async def connect(role: str = SWITCH) -> Connection:
            return await Connection.open(
                postgres.dsn(role, passwords[role]),
                role_settings=hot_settings(settings),
                connect_timeout_s=settings.connect_timeout_s,
            )

        switch = await connect()
        lease = await begin_epoch(switch, SWITCH_NAME, ttl_s=10)
        await switch.aclose()
        api = await connect(API)
        superuser = await Connection.open(
            postgres.superuser_dsn(), connect_timeout_s=settings.connect_timeout_s
        )
        charges = ChargeCommitter(
            connect, lease.switch, lease.epoch, limits=settings, charges_per_intent_max=10
        )
        outcomes = OutcomeCommitter(connect, lease.switch, lease.epoch, limits=settings)
        decisions = DecisionCommitter(connect, lease.switch, lease.epoch, limits=settings)
        intents = Intents(api, limits=settings)
        yield Workplace(postgres, superuser, intents, charges, outcomes, decisions)
        for session in (charges, outcomes, decisions, api, superuser):
            await session.aclose()
    finally:
        await postgres.stop()


async def prepared(place: Workplace, count: int) -> list[tuple[ChargeToRecord, OutcomeToRecord]]:
    """Create intents; build their charges and outcomes."""
    ids = UUID7Source(lambda: time.time_ns() // 1_000, os.urandom)
    merchants = [os.urandom(16) for _ in range(MERCHANTS)]
    intents = [_intent(ids, merchants) for _ in range(count)]
    for at in range(0, count, CREATE_BATCH):
        await place.intents.create(intents[at : at + CREATE_BATCH])
    rows = []
    for at in range(0, count, ORDER_WINDOW):
        window = intents[at : at + ORDER_WINDOW]
        random.shuffle(window)
        rows += [_charge(ids, of) for of in window]
    return [(row, _outcome(row)) for row in rows]


def _intent(ids: UUID7Source, merchants: Sequence[bytes]) -> IntentToCreate:
    return IntentToCreate(
        intent_id=ids.next(),
        merchant_id=random.choice(merchants),
        live=False,
        amount_minor=random.randrange(100, 100_000),
        currency="usd",
        capture_method="automatic",
        allow_partial=False,
        request_id=os.urandom(16),
        client_secret_hash=os.urandom(32),
        description="",
        metadata=b"",
        merchant_reference="",
        key_digest=os.urandom(16),
        request_hash=os.urandom(16),
        expires_at_us=time.time_ns() // 1_000 + DAY_US,
    )


def _charge(ids: UUID7Source, of: IntentToCreate) -> ChargeToRecord:
    return ChargeToRecord(
        intent_id=of.intent_id,
        merchant_id=of.merchant_id,
        transaction_id=ids.next(),
        attempt_id=ids.next(),
        key_digest=os.urandom(16),
        request_hash=os.urandom(16),
        request_id=os.urandom(16),
        card_digest=os.urandom(16),
        sealed_card=os.urandom(64),
        fingerprint=os.urandom(16),
        card_brand="visa",
        card_last4="4242",
        card_exp_month=12,
        card_exp_year=2030,
        network="vsim",
        acquirer_id="400001",
        mti="0200",
        stan=f"{random.randrange(1, 1_000_000):06d}",
        rrn="0" + ids.next().hex()[:11].upper(),
        de7="1122074500",
        deadline_at_us=time.time_ns() // 1_000,
        live=False,
    )


def _outcome(of: ChargeToRecord) -> OutcomeToRecord:
    approved = OutcomeToRecord(
        attempt_id=of.attempt_id,
        transaction_id=of.transaction_id,
        intent_id=of.intent_id,
        phase=1,
        result="approved",
        from_status="pending",
        to_status="succeeded",
        intent_to="succeeded",
        response_code="00",
        approval_code="A1B2C3",
        actor="network:vsim",
        request_id=of.request_id,
        at_us=time.time_ns() // 1_000,
    )
    if random.random() >= DECLINED_SHARE:
        return approved
    to_status, intent_to = CHARGE_SETTLEMENTS["declined"]
    return replace(
        approved,
        result="declined",
        to_status=to_status,
        intent_to=intent_to,
        response_code="51",
        approval_code="",
        decline_code="insufficient_funds",
        advice="retry_later",
    )


async def through_both(
    place: Workplace,
    rows: Sequence[tuple[ChargeToRecord, OutcomeToRecord]],
    batch: int,
    rate_per_s: float = 0.0,
) -> None:
    """Record and settle, the second commit of a batch beside the first of the next ones.

    Args:
        place: where.
        rows: charges and their outcomes.
        batch: charges a commit, at most.
        rate_per_s: a charge is recorded no sooner than this many a second have it come; then a
            commit takes in what came during the one before. 0: there is always a batch.

    Raises:
        WrongResultsError: a charge was not won, or an outcome did not advance.
    """
    recorded, to_settle = trio.open_memory_channel[Sequence[OutcomeToRecord]](2)

    async def settle() -> None:
        async for outcomes in to_settle:
            settled = await place.outcomes.settle(outcomes)
            if not all(one.advanced for one in settled):
                raise WrongResultsError("an outcome did not advance its intent")

    async with trio.open_nursery() as nursery, recorded:
        nursery.start_soon(settle)
        started, at = trio.current_time(), 0
        while at < len(rows):
            come = at + batch
            if rate_per_s:
                await trio.sleep_until(started + (at + 1) / rate_per_s)
                come = max(at + 1, int((trio.current_time() - started) * rate_per_s))
            some = rows[at : min(come, at + batch)]
            at += len(some)
            verdicts = await place.charges.record([row for row, _ in some], lane="fast")
            if not all(isinstance(verdict, Won) for verdict in verdicts):
                raise WrongResultsError("a charge of an idle intent was not won")
            await recorded.send([outcome for _, outcome in some])


async def measured_round(
    place: Workplace, rows: Sequence[tuple[ChargeToRecord, OutcomeToRecord]], batch: int
) -> Round:
    """What charges through both commits give, with a checkpoint inside."""
    before = await _counters(place)
    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.superuser.script, "CHECKPOINT")
        await through_both(place, rows, batch)
        wall_s = time.perf_counter() - started
    after = await _counters(place)
    wal, written, updated, hot, committers_s, postgres_s = (
        late - early for early, late in zip(before, after, strict=True)
    )
    return Round(
        charges_per_s=len(rows) / wall_s,
        row_writes=written / len(rows),
        wal_bytes=wal / len(rows),
        hot_ratio=hot / updated,
        committers_us=committers_s / len(rows) * 1e6,
        postgres_us=postgres_s / len(rows) * 1e6,
    )


async def _counters(place: Workplace) -> tuple[float, ...]:
    """WAL bytes, rows written, updates, HOT updates; CPU seconds of ours and of Postgres."""
    # Sessions report what they did when they end; the next commit opens new ones.
    await place.charges.aclose()
    await place.outcomes.aclose()
    await trio.sleep(0.3)
    [(wal,)] = (await place.superuser.run(_WAL)).rows()
    [counts] = (await place.superuser.run(_ROWS)).rows()
    return (wal, *counts, time.process_time(), postgres_cpu_s(place.postgres))


def postgres_cpu_s(postgres: EmbeddedPostgres) -> float:
    """Of the server and all its processes, those that have ended included."""
    pid = postgres.process_id
    if pid is None:
        raise WrongResultsError("Postgres has ended")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended_s = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")  # cutime, cstime
    return ended_s + sum(map(process_cpu_s, [pid, *map(int, children)]))


async def _check(place: Workplace, expected: int) -> None:
    """Every charge has its rows and its end, once."""
    [counts] = (await place.superuser.run(_COUNTS)).rows()
    if set(counts) != {expected}:
        raise WrongResultsError(f"{expected} charges were recorded, the tables say {counts}")
