"""What several shards answer to one question about a merchant, made one answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter

from ledger.records import IntentPage

_id_of = attrgetter("intent_id")


def merge_pages(pages: Sequence[IntentPage], *, limit: int) -> IntentPage:
    """One page of the pages that shards gave to the same question, each with the same limit.

    A shard whose page has a successor has said nothing yet of what lies below its cursor. So the
    highest of those cursors is a floor: what other shards know below it waits for a later page,
    which asks every shard again from where this one ends.
    """
    floor = max((page.after for page in pages if page.after is not None), default=None)
    intents = sorted((row for page in pages for row in page.intents), key=_id_of, reverse=True)
    if floor is not None:
        intents = [row for row in intents if row.intent_id >= floor]
    if len(intents) > limit:
        return IntentPage(intents[:limit], after=intents[limit - 1].intent_id)
    return IntentPage(intents, after=floor)


def add_balances(of_shards: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Balances added up: currency → purpose of the account → minor units."""
    total: dict[str, dict[str, int]] = {}
    for sums in of_shards:
        for currency, amounts in sums.items():
            known = total.setdefault(currency, {})
            for purpose, amount_minor in amounts.items():
                known[purpose] = known.get(purpose, 0) + amount_minor
    return total
