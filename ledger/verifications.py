"""Attempts in doubt whose window of inquiries is open.

A row is inserted with the outcome `unknown` and deleted by the decision that ends the doubt: an
answer adopted, or a reversal in the place of more inquiries (money.md 6). Under a policy that
reverses at once the window is over when it opens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from ledger.deciding.records import VerificationRow
from ledger.pgtypes import int8_, text_, text_array, timestamptz_, uuid_
from ledger.statements import QUERIES, Runner

_DUE: Final = QUERIES["due_verifications"]
_COUNT: Final = QUERIES["count_verifications"]
_LIST: Final = QUERIES["list_doubts"]
_SHOW: Final = QUERIES["show_doubt"]


class VerificationCount(Struct, frozen=True):
    """How many doubts are open, of one network."""

    network: str
    waiting: int
    oldest_at_us: int


class Doubt(Struct, frozen=True):
    """One doubt with the numbers of the message whose outcome is unknown."""

    attempt_id: bytes
    transaction_id: bytes
    network: str
    due_at_us: int  # looked at again then; as the window's end by the clock of queues
    window_ends_at_us: int
    inquiries: int  # sent so far
    intent_id: bytes
    owner: str
    created_at_us: int
    mti: str
    acquirer_id: str
    stan: str
    rrn: str
    de7: str
    amount_minor: int
    currency: str


async def due_verifications(
    runner: Runner, owner: str, *, now_us: int, limit: int, networks: Sequence[str]
) -> list[VerificationRow]:
    """The doubts that an owner shall look into now, soonest due first.

    Those of these networks, which can be asked, and those whose windows are over.
    """
    params = [text_(owner), timestamptz_(now_us), int8_(limit), text_array(networks)]
    result = await runner.run(_DUE, params)
    return [VerificationRow(*row) for row in result.rows()]


async def count_verifications(runner: Runner) -> list[VerificationCount]:
    """How much is in doubt, for metrics."""
    return [VerificationCount(*row) for row in (await runner.run(_COUNT)).rows()]


async def list_doubts(runner: Runner, *, above: bytes = bytes(16), limit: int = 100) -> list[Doubt]:
    """A page of what is in doubt, oldest first; a short page is the last. Role: turnout_admin."""
    result = await runner.run(_LIST, [uuid_(above), int8_(limit)])
    return [Doubt(*row) for row in result.rows()]


async def show_doubt(runner: Runner, attempt_id: bytes) -> Doubt | None:
    """One doubt, None if this attempt is in none, or no more. Role: turnout_admin."""
    result = await runner.run(_SHOW, [uuid_(attempt_id)])
    return next((Doubt(*row) for row in result.rows()), None)
