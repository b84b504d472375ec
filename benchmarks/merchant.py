"""What the merchant says of charges that a benchmark has driven, for the comparison of `chaos`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from benchmarks.charges import ACCEPTED
from benchmarks.driving import LoadResult, drive
from benchmarks.prepared import Signer
from benchmarks.report import WrongResultsError
from benchmarks.witnesses import told
from benchmarks.workplace import address
from chaos.records import Merchant, Seen, Told
from stack.temporary import TemporaryStack

READERS: Final = 64
READ_WITHIN_S: Final = 600.0


class _Intent(msgspec.Struct, rename="camel"):
    id: str
    status: str
    amount_captured: int
    amount_refunded: int
    amount_capturable: int


def intents_seen(stack: TemporaryStack, intents: Sequence[str]) -> list[Seen]:
    """Every intent as the merchant reads it in the end."""
    credentials = stack.credentials()
    host, port = address(stack)
    signer = Signer(f"{host}:{port}", credentials.publishable_key, credentials.secret_key)
    requests = [signer.request("GET", f"/payment-intents/{intent}") for intent in intents]
    read = drive(host, port, requests, connections=READERS, seconds=READ_WITHIN_S)
    decoder = msgspec.json.Decoder(_Intent)
    rows = [
        decoder.decode(body)
        for status, body in zip(read.outcome.status, read.outcome.body, strict=True)
        if status == 200
    ]
    return [
        Seen(row.id, row.status, row.amount_captured, row.amount_refunded, row.amount_capturable)
        for row in rows
    ]


def merchant_of(
    parts: Sequence[LoadResult], seen: list[Seen], *, refusals: frozenset[int] = frozenset()
) -> Merchant:
    """What the merchant says: one request, and so one idempotency key, an intent.

    Args:
        parts: everything that was driven.
        seen: the intents in the end.
        refusals: statuses besides 200 and 202 that are no fault, such as of a network that is gone.

    Raises:
        WrongResultsError: a charge was refused, or not answered.
    """
    statuses = Counter(status for part in parts for status in part.outcome.status)
    if set(statuses) - ACCEPTED - refusals:
        raise WrongResultsError(f"charges were answered {dict(statuses)}")
    captured = {row.intent: row.captured for row in seen}
    return Merchant(
        told=[
            Told(
                answer.intent,
                answer.intent,
                answer.transaction,
                "charge",
                answer.status,
                captured.get(answer.intent, 0),
            )
            for part in parts
            for answer in told(part.outcome)
        ],
        seen=seen,
        asked={(row.intent, "charge"): 1 for row in seen},
        unanswered=[],
    )
