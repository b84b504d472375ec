"""What a switch finds at its start: attempts that were recorded and have no outcome.

Whether their messages left is known to nobody, so each is `unknown`. `sent` exists in memory only.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ledger.lifecycle import CHARGE_SETTLEMENTS
from ledger.pgtypes import int8_, text_, uuid_
from ledger.records import OutcomeToRecord
from ledger.statements import QUERIES, Runner

PAGE_ROWS: Final = 500

_OPEN: Final = QUERIES["open_attempts"]
_NEWEST: Final = QUERIES["newest_attempt"]


class OpenAttempt(Struct, gc=False, frozen=True):
    """One attempt without any outcome, with what an inquiry or a late answer needs."""

    intent_id: bytes
    attempt_id: bytes
    transaction_id: bytes
    request_id: bytes
    amount_minor: int
    currency: str
    network: str
    acquirer_id: str
    mti: str
    stan: str
    rrn: str
    de7: str
    epoch: int
    deadline_at_us: int


async def open_attempts(
    runner: Runner, owner: str, *, above: bytes = bytes(16), limit: int = PAGE_ROWS
) -> list[OpenAttempt]:
    """A page of an owner's attempts without outcome, in id order; a short page is the last."""
    result = await runner.run(_OPEN, [text_(owner), uuid_(above), int8_(limit)])
    return [OpenAttempt(*row) for row in result.rows()]


async def newest_attempt(runner: Runner, owner: str) -> tuple[bytes, str] | None:
    """Id and RRN of an owner's newest attempt: RRNs go on above it, whatever the clock says."""
    rows = (await runner.run(_NEWEST, [text_(owner)])).rows()
    return rows[0] if rows else None


def unknown_outcome(attempt: OpenAttempt, *, at_us: int) -> OutcomeToRecord:
    """What recovery records of an attempt: nobody can know, so verification must find out."""
    to_status, intent_to = CHARGE_SETTLEMENTS["unknown"]
    return OutcomeToRecord(
        attempt_id=attempt.attempt_id,
        transaction_id=attempt.transaction_id,
        intent_id=attempt.intent_id,
        phase=1,
        result="unknown",
        from_status="pending",
        to_status=to_status,
        intent_to=intent_to,
        response_code="",
        approval_code="",
        actor="recovery",
        request_id=attempt.request_id,
        at_us=at_us,
    )
