"""The three witnesses of a run: recorded HTTP answers, plain SQL, the networks' own files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import psycopg

from benchmarks.agreement import Carried, Held, Told
from benchmarks.load import LoadOutcome
from chassis.settings import Settings
from chassis.settings.of_shard import raised
from ledger.ids import public_id
from network_sim.journal import read_journal

REST_TICK_S = 0.1
_NETWORKS = Settings().networks
# What a transaction is, by the outcomes that moved it: the furthest that any of them came, for the
# statuses of money.md 2 only ever go forward. Neither `transaction_states` nor the order in which
# outcomes were written is asked. What moved nothing (an inquiry's own result, an acknowledgment)
# is only its attempt's.
HELD_SQL = """
SELECT a.intent_id, a.transaction_id, coalesce(moved.status, 'pending'), a.network, a.rrn,
       coalesce(own.result, ''), a.amount_minor, a.mti, a.kind, a.stan,
       coalesce(own.response_code, '')
FROM attempts AS a
LEFT JOIN (
    SELECT o.intent_id, o.transaction_id,
        (ARRAY['pending_verification', 'reversing', 'succeeded', 'failed', 'reversed'])[
            max(array_position(
                ARRAY['pending_verification', 'reversing', 'succeeded', 'failed', 'reversed'],
                o.to_status
            ))
        ] AS status
    FROM outcomes AS o
    WHERE o.from_status <> o.to_status
    GROUP BY o.intent_id, o.transaction_id
) AS moved USING (intent_id, transaction_id)
LEFT JOIN LATERAL (
    SELECT o.result, o.response_code FROM outcomes AS o
    WHERE o.intent_id = a.intent_id AND o.attempt_id = a.id ORDER BY o.phase DESC LIMIT 1
) AS own ON true
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


def wait_for_rest(dsn: str, *, limit_s: float) -> None:
    """Wait until no advice is on its way to a network.

    Raises:
        TimeoutError: some still were after so many seconds.
    """
    deadline = time.monotonic() + limit_s
    with psycopg.connect(dsn, autocommit=True) as connection:
        while connection.execute("SELECT FROM store_and_forward LIMIT 1").fetchone() is not None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"advices were still on their way after {limit_s:g} s")
            time.sleep(REST_TICK_S)


def network_decisions(
    data_dir: Path, networks: Sequence[str], shard: int | None = None
) -> Iterator[Carried]:
    """Every financial message that a simulated network decided.

    Args:
        data_dir: of the stack.
        networks: their names; as the settings have them by default.
        shard: only of this one, by its acquirer ids; None = of all there are.
    """
    for name in networks:
        acquirer = None if shard is None else raised(_NETWORKS[name].acquirer_id, shard)
        for entry in read_journal(data_dir / "networks" / f"{name}.log"):
            if acquirer is None or entry.acquirer_id == acquirer:
                yield Carried(
                    name, entry.rrn, entry.response_code, int(entry.amount), entry.mti, entry.stan
                )
