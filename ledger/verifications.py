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
from ledger.pgtypes import int8_, text_, text_array, timestamptz_
from ledger.statements import QUERIES, Runner

_DUE: Final = QUERIES["due_verifications"]
_COUNT: Final = QUERIES["count_verifications"]


class VerificationCount(Struct, frozen=True):
    """How many doubts are open, of one network."""

    network: str
    waiting: int
    manual: int
    oldest_at_us: int


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
