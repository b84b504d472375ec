"""What a switch finds at its start: attempts that were recorded and have no outcome.

Whether their messages left is known to nobody, so each is `unknown`. `sent` exists in memory only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from ledger.ids import lowest_id_at
from ledger.lifecycle import CHARGE_SETTLEMENTS
from ledger.pgtypes import int8_, text_, text_array, uuid_, uuid_array
from ledger.records import OutcomeToRecord
from ledger.statements import QUERIES, Runner

PAGE_ROWS: Final = 500
DRAWN_WITHIN_US: Final = 1_000_000  # of each other: an attempt's id and its RRN

_OPEN: Final = QUERIES["open_attempts"]
_CAPTURES: Final = QUERIES["open_captures"]
_NEWEST: Final = QUERIES["newest_attempt"]
_FIND: Final = QUERIES["find_attempts"]


class OpenAttempt(Struct, gc=False, frozen=True):
    """One attempt, with what recovery or a late answer needs."""

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
    kind: str = "request"  # lifecycle.ATTEMPT_KINDS
    type: str = "charge"  # of the transaction
    # Only `find_attempts` reads the rest.
    terminal_id: str = ""  # of the merchant, DE 41
    card_acceptor_id: str = ""  # DE 42
    original_mti: str = ""  # of the request that began the life under this RRN
    original_stan: str = ""
    original_de7: str = ""
    original_acquirer_id: str = ""


class AnswerNumbers(Struct, gc=False, frozen=True):
    """The numbers by which an answer names an attempt."""

    network: str
    rrn: str
    stan: str
    de7: str
    drawn_at_us: int  # when that RRN was drawn


async def open_attempts(
    runner: Runner, owner: str, *, above: bytes = bytes(16), limit: int = PAGE_ROWS
) -> list[OpenAttempt]:
    """A page of an owner's attempts without outcome, in id order; a short page is the last."""
    result = await runner.run(_OPEN, [text_(owner), uuid_(above), int8_(limit)])
    return [OpenAttempt(*row) for row in result.rows()]


async def open_captures(
    runner: Runner, owner: str, *, above: bytes = bytes(16), limit: int = PAGE_ROWS
) -> list[OpenAttempt]:
    """A page of an owner's captures without outcome that store-and-forward repeats, in id order.

    `open_attempts` leaves them out: their messages need no recovery, but their payments do not
    show yet that nobody knows what became of them.
    """
    result = await runner.run(_CAPTURES, [text_(owner), uuid_(above), int8_(limit)])
    return [OpenAttempt(*row) for row in result.rows()]


async def find_attempts(
    runner: Runner, owner: str, answers: Sequence[AnswerNumbers]
) -> list[OpenAttempt | None]:
    """The attempt that each answer names, whatever became of it; None where there is none."""
    if not answers:
        return []
    params = [
        text_(owner),
        text_array([answer.network for answer in answers]),
        text_array([answer.rrn for answer in answers]),
        text_array([answer.stan for answer in answers]),
        text_array([answer.de7 for answer in answers]),
        uuid_array([lowest_id_at(answer.drawn_at_us - DRAWN_WITHIN_US) for answer in answers]),
        uuid_array([lowest_id_at(answer.drawn_at_us + DRAWN_WITHIN_US) for answer in answers]),
    ]
    found: list[OpenAttempt | None] = [None] * len(answers)
    for place, *row in (await runner.run(_FIND, params)).rows():
        found[place - 1] = OpenAttempt(*row)
    return found


async def newest_attempt(runner: Runner, owner: str) -> tuple[bytes, str] | None:
    """Id of an owner's newest attempt, and the newest RRN that it drew, or empty.

    Both go on above, whatever the clock says. They need not be of one attempt: a reversal or an
    inquiry carries the RRN of what it follows.
    """
    rows = (await runner.run(_NEWEST, [text_(owner)])).rows()
    return rows[0] if rows else None


def unknown_outcome(
    attempt: OpenAttempt, *, at_us: int, verify_at_us: int, verify_until_us: int
) -> OutcomeToRecord:
    """What recovery records of a charge: nobody can know what became of it.

    It is looked into from `verify_at_us` until `verify_until_us`, on the clock of queues. What does
    not hold its intent as a charge does is settled by a decision, not by this.
    """
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
        verify_at_us=verify_at_us,
        verify_until_us=verify_until_us,
    )
