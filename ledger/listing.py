"""Which intents a list is of, and the query that finds a page of them.

A list is in the order of ids, newest first, and a page of it costs the same however many intents a
merchant has: each of three queries walks an index that holds ids in that order, and gives up after
a bounded number of rows. Which one it is depends on the most telling thing that is asked for:

- a merchant reference, else a metadata pair: `intent_terms`, which has a row for each;
- one amount: the index over amounts;
- anything else: all intents of the merchant.

The rest of the filter is applied to the rows that are found so. A range of amounts and the status
have no index of their own: the one is in no order of ids, the other changes, and an index over it
would cost every update of an intent its place on its page.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from ledger.lifecycle import INTENT_STATUSES
from ledger.money import AMOUNT_MINOR_MAX, AMOUNT_MINOR_MIN
from ledger.pgtypes import bool_, int8_, text_, text_array, uuid_
from ledger.queries import Query
from ledger.statements import QUERIES

_ALL: Final = QUERIES["list_intents"]
_BY_AMOUNT: Final = QUERIES["list_intents_by_amount"]
_BY_TERM: Final = QUERIES["list_intents_by_term"]

_LOWEST: Final = bytes(16)
_HIGHEST: Final = b"\xff" * 16
_REFERENCE: Final = ""  # the name of the term: no metadata is named so

_encode = msgspec.json.Encoder().encode


class IntentFilter(Struct, frozen=True, kw_only=True):
    """Which of a merchant's intents; all conditions together.

    Attributes:
        created_from: only ids from this one on (`ids.lowest_id_at`).
        created_before: only ids below this one.
        statuses: in one of these.
        amount_min: over this much at least, in minor units.
        amount_max: over this much at most.
        merchant_reference: with this one, canceled or not.
        metadata: with each of these pairs, (name, value).
    """

    created_from: bytes | None = None
    created_before: bytes | None = None
    statuses: tuple[str, ...] = tuple(INTENT_STATUSES)
    amount_min: int = AMOUNT_MINOR_MIN
    amount_max: int = AMOUNT_MINOR_MAX
    merchant_reference: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()


EVERY_INTENT: Final = IntentFilter()


class PageBounds(Struct, frozen=True):
    """Whose intents, and how far a page goes."""

    merchant_id: bytes
    live: bool
    after: bytes | None
    rows_wanted: int
    rows_read_max: int


def page_query(within: PageBounds, only: IntentFilter) -> tuple[Query, list[bytes | None]]:
    """The query for a page and its parameters."""
    below = min(within.after or _HIGHEST, only.created_before or _HIGHEST)
    params: list[bytes | None] = [
        uuid_(within.merchant_id),
        bool_(within.live),
        uuid_(below),
        uuid_(only.created_from or _LOWEST),
        text_array(only.statuses),
        int8_(within.rows_wanted),
        int8_(within.rows_read_max),
        int8_(only.amount_min),
    ]
    reference = only.merchant_reference
    if reference is not None:
        name, value = _REFERENCE, reference
    elif only.metadata:
        name, value = only.metadata[0]
    elif only.amount_min == only.amount_max:
        return _BY_AMOUNT, params
    else:
        return _ALL, [*params, int8_(only.amount_max)]
    return _BY_TERM, [
        *params,
        int8_(only.amount_max),
        text_(name),
        text_(value),
        None if reference is None else text_(reference),
        text_(_encode(dict(only.metadata)).decode()),
    ]
