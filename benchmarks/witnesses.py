"""The three witnesses of a run: recorded HTTP answers, plain SQL, the networks' own files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import psycopg

from benchmarks.agreement import Carried, Held, Told
from benchmarks.load import LoadOutcome
from ledger.ids import public_id
from network_sim.journal import read_journal

HELD_SQL = """
SELECT a.intent_id, a.transaction_id, coalesce(o.to_status, 'pending'), a.network, a.rrn,
       coalesce(o.result, ''), a.amount_minor
FROM attempts AS a
LEFT JOIN LATERAL (
    SELECT to_status, result FROM outcomes
    WHERE intent_id = a.intent_id AND attempt_id = a.id ORDER BY phase DESC LIMIT 1
) AS o ON true
"""


class _Answer(msgspec.Struct, rename="camel"):
    id: str
    payment_intent: str
    status: str


def told(outcome: LoadOutcome) -> list[Told]:
    """Every charge that was answered with a transaction."""
    decoder = msgspec.json.Decoder(_Answer)
    answers = (
        decoder.decode(body)
        for status, body in zip(outcome.status, outcome.body, strict=True)
        if status in {200, 202}
    )
    return [Told(answer.payment_intent, answer.id, answer.status) for answer in answers]


def attempts_held(dsn: str) -> list[Held]:
    """Every attempt in the ledger, with its transaction's status, over a session of its own."""
    with psycopg.connect(dsn) as connection:
        return [
            Held(public_id("pi", intent.bytes), public_id("txn", transaction.bytes), *rest)
            for intent, transaction, *rest in connection.execute(HELD_SQL)
        ]


def network_decisions(data_dir: Path, networks: Sequence[str]) -> Iterator[Carried]:
    """Every financial message that a simulated network decided."""
    for name in networks:
        for entry in read_journal(data_dir / "networks" / f"{name}.log"):
            yield Carried(name, entry.rrn, entry.response_code, int(entry.amount))
