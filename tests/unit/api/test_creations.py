"""Batches of creations cut into rounds that the ledger takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.creations import create_all, plan_round
from ledger.records import (
    Created,
    CreationVerdict,
    IntentReplay,
    IntentRow,
    IntentToCreate,
    Lost,
)

SHOP = bytes(16)


def row(
    key: bytes, request: bytes = b"r", reference: str = "", merchant: bytes = SHOP
) -> IntentToCreate:
    """A creation under a key."""
    fields: dict[str, Any] = dict.fromkeys(IntentToCreate.__struct_fields__, b"")
    fields |= {
        "merchant_id": merchant,
        "live": False,
        "key_digest": key,
        "request_hash": request,
        "merchant_reference": reference,
        "intent_id": key + request + reference.encode(),
    }
    return IntentToCreate(**fields)


def intent(of: IntentToCreate) -> IntentRow:
    """The intent that a creation makes."""
    fields: dict[str, Any] = dict.fromkeys(IntentRow.__struct_fields__)
    return IntentRow(**fields | {"intent_id": of.intent_id})


class Ledger:
    """Creates by the ledger's rules, and refuses batches that break them as the ledger does."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.keys: dict[tuple[bytes, bytes], IntentToCreate] = {}
        self.references: dict[tuple[bytes, str], IntentToCreate] = {}

    async def create(self, batch: Sequence[IntentToCreate]) -> list[CreationVerdict]:
        """One verdict a row."""
        self.batches.append(len(batch))
        assert len({(each.merchant_id, each.key_digest) for each in batch}) == len(batch)
        claims = [
            (each.merchant_id, each.merchant_reference) for each in batch if each.merchant_reference
        ]
        assert len(set(claims)) == len(claims)
        return [self._create(each) for each in batch]

    def _create(self, each: IntentToCreate) -> CreationVerdict:
        known = self.keys.get((each.merchant_id, each.key_digest))
        if known is not None:
            if known.request_hash != each.request_hash:
                return Lost("idempotency_key_reused")
            return IntentReplay(intent(known))
        claim = (each.merchant_id, each.merchant_reference)
        if each.merchant_reference:
            holder = self.references.setdefault(claim, each)
            if holder is not each:
                return Lost("merchant_reference_in_use", holder.intent_id)
        self.keys[each.merchant_id, each.key_digest] = each
        return Created(intent(each))


async def test_distinct_creations_are_one_batch() -> None:
    """The usual case: everything at once."""
    ledger = Ledger()
    batch = [row(b"a"), row(b"b"), row(b"a", merchant=bytes(15) + b"1"), row(b"c", reference="x")]
    verdicts = await create_all(ledger, batch)
    assert ledger.batches == [4]
    assert verdicts == [Created(intent(each)) for each in batch]


async def test_repeats_share_the_first_ones_verdict() -> None:
    """Fifty at once make one intent and forty-nine replays, in one statement."""
    ledger = Ledger()
    verdicts = await create_all(ledger, [row(b"a")] * 50)
    assert ledger.batches == [1]
    assert verdicts == [Created(intent(row(b"a")))] + [IntentReplay(intent(row(b"a")))] * 49


async def test_another_request_under_a_key_loses() -> None:
    """The first in line wins; the database judges the other."""
    ledger = Ledger()
    verdicts = await create_all(ledger, [row(b"a", b"1"), row(b"a", b"2"), row(b"a", b"1")])
    assert verdicts[1] == Lost("idempotency_key_reused")
    assert isinstance(verdicts[0], Created)
    assert isinstance(verdicts[2], IntentReplay)
    assert ledger.batches == [1, 1]


async def test_a_second_claim_waits_for_the_next_round() -> None:
    """One reference, two keys: the first holds it and the second is told so."""
    ledger = Ledger()
    verdicts = await create_all(
        ledger, [row(b"a", reference="x"), row(b"b", reference="x"), row(b"b", reference="x")]
    )
    assert isinstance(verdicts[0], Created)
    holder = row(b"a", reference="x").intent_id
    assert verdicts[1:] == [Lost("merchant_reference_in_use", holder)] * 2


def test_a_round_leaves_nothing_out() -> None:
    """Every place is a row, a repeat or left for later."""
    batch = [
        row(b"a"),
        row(b"a"),
        row(b"a", b"2"),
        row(b"b", reference="x"),
        row(b"c", reference="x"),
    ]
    chosen = plan_round(batch, range(len(batch)))
    assert sorted([*chosen.rows, *chosen.joined, *chosen.later]) == list(range(len(batch)))
    assert (chosen.rows, chosen.joined, chosen.later) == ([0, 3], {1: 0}, [2, 4])
