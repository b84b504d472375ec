"""Known keys: one query a batch, before a card is opened, so that a replay needs no HSM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.pgtypes import uuid_array
from ledger.records import Lost, Replay, TransactionRow
from ledger.statements import QUERIES, Runner
from ledger.verdicts import KeyFinding, key_verdict

_FIND: Final = QUERIES["find_replays"]


async def find_replays(
    runner: Runner, batch: Sequence[tuple[bytes, bytes, bytes]]
) -> list[Replay | Lost | None]:
    """What became of the charges under these keys: (merchant id, key digest, request hash) each.

    None is a key that nobody has used. The answers stand in the order of the batch.

    Raises:
        DatabaseError: or one of its children; nothing is changed by a look-up.
    """
    if not batch:
        return []
    merchant_ids, digests, hashes = zip(*batch, strict=True)
    result = await runner.run(_FIND, [uuid_array(merchant_ids), uuid_array(digests)])
    answers: list[Replay | Lost | None] = [None] * len(batch)
    for place, request_hash, transaction_id, *state in result.rows():
        transaction = TransactionRow(*state) if state[0] is not None else None
        finding = KeyFinding(request_hash, transaction_id, transaction)
        answers[place - 1] = key_verdict(hashes[place - 1], finding)
    return answers
