"""`turnout bench decisions`: locked decisions, against a Postgres of its own on a disk.

An op is one step: a refund of an intent that was charged before, with an idempotency key, on an
intent of its own. It locks the intent, reads its history, decides, writes transaction, attempt, key
and intent, and commits. Figures by batch size: a step alone pays for its commit and both round
trips; 16 and 64 share them. One committer, one batch at a time.

`cpu_us_per_op` is that of the largest batch; `committers` is our side, deciders included.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from benchmarks.ledger import Workplace, postgres_cpu_s, prepared, through_both, workplace
from benchmarks.report import Document, WrongResultsError, bench_document, progress
from benchmarks.workplace import durability
from ledger.deciding.records import IntentView, NewAttempt, NewKey, NewTransaction, Plan
from ledger.ids import UUID7Source
from ledger.queries import Query
from ledger.records import ChargeToRecord, Lost, OutcomeToRecord

BATCHES: Final = (1, 16, 64)
LOAD_BATCH: Final = 128
REFUND_MINOR: Final = 10

_WRITTEN: Final = Query(
    "refunds_written",
    "SELECT (SELECT count(*) FROM transactions WHERE type = 'refund'),"
    " (SELECT sum(refund_pending_minor)::int8 FROM payment_intents)",
)


@attrs.frozen
class Cost:
    """What a step cost, in microseconds."""

    wall_us: float
    committers_us: float
    postgres_us: float


class Refund:
    """The step of the benchmark: reserve an amount for a refund and attempt it."""

    def __init__(self, charge: ChargeToRecord, ids: UUID7Source) -> None:
        self.intent_id = charge.intent_id
        self.key = (charge.merchant_id, os.urandom(16))
        self._transaction = NewTransaction(
            ids.next(), "refund", REFUND_MINOR, "usd", os.urandom(16)
        )
        self._attempt = NewAttempt(
            attempt_id=ids.next(),
            transaction_id=self._transaction.transaction_id,
            kind="request",
            network=charge.network,
            acquirer_id=charge.acquirer_id,
            mti="0200",
            stan="000001",
            rrn="0ABCDEFGHIJK",
            de7="1122074500",
            amount_minor=REFUND_MINOR,
            currency="usd",
            deadline_at_us=time.time_ns() // 1_000,
        )

    def decide(self, view: IntentView | None) -> Plan | Lost:
        """Reserve the amount, unless too little was captured."""
        if view is None or view.key is not None:
            return Lost("not_found")
        if view.refund_pending_minor + REFUND_MINOR > view.captured_minor:
            return Lost("amount_exceeds_refundable")
        return Plan(
            intent={"refund_pending_minor": view.refund_pending_minor + REFUND_MINOR},
            transactions=[self._transaction],
            attempts=[self._attempt],
            key=NewKey(*self.key, os.urandom(16), self._transaction.transaction_id),
            value=True,
        )


def run(*, steps: int = 2_048, rounds: int = 3) -> Document:
    """Measure and return the benchmark's document; figures are medians of the rounds.

    Args:
        steps: of each batch size and round; at batch 1 an eighth of them.
        rounds: on one server, one after the other.

    Raises:
        WrongResultsError: a step was refused, or rows are missing.
        UnrealStorageError: fsync is off, or the data lies in memory.
    """
    with tempfile.TemporaryDirectory(prefix="turnout-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the server may run under a uid of its own
        facts, costs = trio.run(partial(_measure, folder, steps, rounds))

    def median(batch: int, figure: str) -> float:
        return float(statistics.median(getattr(cost, figure) for cost in costs[batch]))

    return bench_document(
        "decisions",
        parameters={**facts, "steps": steps, "rounds": rounds},
        results={
            **{f"us_per_step_at_{batch}": median(batch, "wall_us") for batch in BATCHES},
            "load_cpu_us": 0.0,
        },
        cpu_us_per_op={
            "committers": median(BATCHES[-1], "committers_us"),
            "postgres": median(BATCHES[-1], "postgres_us"),
        },
    )


async def _measure(
    folder: Path, steps: int, rounds: int
) -> tuple[dict[str, str], dict[int, list[Cost]]]:
    ids = UUID7Source(lambda: time.time_ns() // 1_000, os.urandom)
    costs: dict[int, list[Cost]] = {batch: [] for batch in BATCHES}
    done = 0
    async with workplace(folder) as place:
        facts = durability(place.postgres.superuser_dsn(), folder)
        for number in range(1, rounds + 1):
            for batch in BATCHES:
                count = steps if batch > 1 else max(1, steps // 8)
                charges = await _charged(place, count)
                refunds = [Refund(charge, ids) for charge in charges]
                costs[batch].append(await _timed(place, refunds, batch))
                done += len(refunds)
            progress(f"bench decisions: round {number} of {rounds}")
        await _check(place, done)
    return facts, costs


async def _charged(place: Workplace, count: int) -> list[ChargeToRecord]:
    """Intents that were charged: what is refunded. Some charges are declined, so more are made."""
    charges: list[ChargeToRecord] = []
    while len(charges) < count:
        rows = await prepared(place, count)
        await through_both(place, rows, LOAD_BATCH)
        charges += [charge for charge, outcome in rows if _approved(outcome)]
    return charges[:count]


def _approved(outcome: OutcomeToRecord) -> bool:
    return outcome.result == "approved"


async def _timed(place: Workplace, refunds: Sequence[Refund], batch: int) -> Cost:
    server_s = postgres_cpu_s(place.postgres)
    own_s, started = time.process_time(), time.perf_counter()
    for some in _batches(refunds, batch):
        answers = await place.decisions.run(some)
        if any(answer is not True for answer in answers):
            raise WrongResultsError("a refund of what was captured was refused")
    wall_s = time.perf_counter() - started
    return Cost(
        wall_us=wall_s / len(refunds) * 1e6,
        committers_us=(time.process_time() - own_s) / len(refunds) * 1e6,
        postgres_us=(postgres_cpu_s(place.postgres) - server_s) / len(refunds) * 1e6,
    )


def _batches(refunds: Sequence[Refund], batch: int) -> Iterator[Sequence[Refund]]:
    for at in range(0, len(refunds), batch):
        yield refunds[at : at + batch]


async def _check(place: Workplace, expected: int) -> None:
    """Every refund is there, once, and reserved."""
    [(refunds, reserved_minor)] = (await place.superuser.run(_WRITTEN)).rows()
    if (refunds, reserved_minor) != (expected, expected * REFUND_MINOR):
        raise WrongResultsError(f"{expected} refunds were decided, the tables say {refunds}")
