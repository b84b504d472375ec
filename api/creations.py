"""Creating intents in batches that the ledger accepts.

The ledger takes a key, and a merchant reference, once per batch. So a batch is run in rounds: of
requests with the same key the first goes in and exact repeats share its verdict; whatever else is
in the way of an earlier row waits for the next round, where the database decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import define, field

from ledger.records import Created, CreationVerdict, IntentReplay, IntentToCreate


class Creator(Protocol):
    """What creates a batch: `ledger.intents.Intents`."""

    async def create(self, batch: Sequence[IntentToCreate]) -> list[CreationVerdict]:
        """One verdict a row, in order."""


@define
class Round:
    """One round: places of rows in the batch."""

    rows: list[int] = field(factory=list)
    joined: dict[int, int] = field(factory=dict)  # a repeat → the row whose verdict it shares
    later: list[int] = field(factory=list)


def plan_round(batch: Sequence[IntentToCreate], places: Sequence[int]) -> Round:
    """Choose from the rows at `places` those that may go to the ledger together."""
    chosen = Round()
    by_key: dict[tuple[bytes, bytes], int] = {}
    references: set[tuple[bytes, bool, str]] = set()
    for place in places:
        row = batch[place]
        first = by_key.setdefault((row.merchant_id, row.key_digest), place)
        reference = (row.merchant_id, row.live, row.merchant_reference)
        if first != place:
            if batch[first].request_hash == row.request_hash:
                chosen.joined[place] = first
            else:
                chosen.later.append(place)
        elif row.merchant_reference and reference in references:
            del by_key[row.merchant_id, row.key_digest]
            chosen.later.append(place)
        else:
            references.add(reference)
            chosen.rows.append(place)
    return chosen


async def create_all(creator: Creator, batch: Sequence[IntentToCreate]) -> list[CreationVerdict]:
    """Create a batch of any requests; one verdict each, in order. Raises as the ledger does."""
    verdicts: dict[int, CreationVerdict] = {}
    places: Sequence[int] = range(len(batch))
    while places:
        chosen = plan_round(batch, places)
        found = await creator.create([batch[place] for place in chosen.rows])
        verdicts.update(zip(chosen.rows, found, strict=True))
        for place, first in chosen.joined.items():
            verdict = verdicts[first]
            if isinstance(verdict, Created):
                verdict = IntentReplay(verdict.intent)
            verdicts[place] = verdict
        places = chosen.later
    return [verdicts[place] for place in range(len(batch))]
