"""Known keys: looked up a batch at a time before a card is opened: a replay needs no HSM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.pgtypes import uuid_array
from ledger.records import Lost, Replay, TransactionRow
from ledger.statements import QUERIES, Runner
from ledger.verdicts import KeyFinding, key_verdict

_FIND_KEYS: Final = QUERIES["find_keys"]
_READ_STATES: Final = QUERIES["read_transaction_states"]


async def find_replays(
    runner: Runner, batch: Sequence[tuple[bytes, bytes, bytes]]
) -> list[Replay | Lost | None]:
    """What became of the charges under these keys: (merchant id, key digest, request hash) each.

    None is a key that nobody has used. The answers stand in the order of the batch. A key and its
    transaction are committed as one, so the second look finds all that the first one promises.

    Raises:
        DatabaseError: or one of its children; nothing is changed by a look-up.
    """
    if not batch:
        return []
    merchant_ids, digests, hashes = zip(*batch, strict=True)
    answers: list[Replay | Lost | None] = [None] * len(batch)
    known = (await runner.run(_FIND_KEYS, [uuid_array(merchant_ids), uuid_array(digests)])).rows()
    if not known:
        return answers
    places, found_hashes, intent_ids, transaction_ids = zip(*known, strict=True)
    states = await runner.run(_READ_STATES, [uuid_array(intent_ids), uuid_array(transaction_ids)])
    for place, request_hash, transaction_id, state in zip(
        places, found_hashes, transaction_ids, states.rows(), strict=True
    ):
        transaction = TransactionRow(*state) if state[0] is not None else None
        finding = KeyFinding(request_hash, transaction_id, transaction)
        answers[place - 1] = key_verdict(hashes[place - 1], finding)
    return answers
