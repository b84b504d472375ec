"""Events that a consumer could not take in: put aside where people see them, tried again on demand.

One event that breaks its consumer must not stop all that follow, and must not be forgotten. So it
becomes a row with the reason, written in the transaction that moves the cursor past it. An operator
looks (`turnout stream parked list`), has the cause mended, and asks for another try; the group's
own runner, which has the code, makes it.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from chassis.masking import mask_text
from ledger.connection import Step
from ledger.errors import LedgerError
from ledger.operators import check_answer, check_texts
from ledger.pgtypes import int4_, int8_, text_, uuid_
from ledger.statements import QUERIES, Runner
from ledger.stream.record import HEAD, NO_INTENT

REASON_CHARACTERS_MAX: Final = 500
RETRIES_MAX: Final = 100  # taken up in one look

_PARK: Final = QUERIES["park_event"]
_UNPARK: Final = QUERIES["unpark_event"]
_RETRY: Final = QUERIES["parked_to_retry"]
_COUNT: Final = QUERIES["count_parked"]
_LIST: Final = QUERIES["list_parked"]
_ASK: Final = QUERIES["retry_parked"]


class ParkedEvent(Struct, frozen=True):
    """An event that was put aside."""

    group: str
    shard: int
    partition: int
    offset: int
    parked_at_us: int
    retry_at_us: int | None
    intent_id: bytes | None
    tries: int
    reason: str


def reason_of(error: Exception) -> str:
    """Why an event was put aside, in words that hold nothing of its data.

    Our own errors are written so; of others only the class is told.
    """
    name = type(error).__name__
    text = f"{name}: {error}" if isinstance(error, LedgerError) else name
    return mask_text(text)[:REASON_CHARACTERS_MAX]


def park_step(
    group: str, shard: int, partition: int, offset: int, record: bytes, reason: str
) -> Step:
    """The step that puts an event aside, or notes that another try failed."""
    intent_id = record[HEAD.size - len(NO_INTENT) : HEAD.size]
    known = len(intent_id) == len(NO_INTENT) and intent_id != NO_INTENT
    params = [
        *_place(group, shard, partition, offset),
        uuid_(intent_id) if known else None,
        text_(reason),
    ]
    return (_PARK, params)


def unpark_step(group: str, shard: int, partition: int, offset: int) -> Step:
    """The step that takes an event off the list, in the transaction of its effect."""
    return (_UNPARK, _place(group, shard, partition, offset))


async def parked_to_retry(runner: Runner, group: str, shard: int) -> list[tuple[int, int]]:
    """Partition and offset of what operators want tried again."""
    params = [text_(group), int4_(shard), int8_(RETRIES_MAX)]
    return [(partition, offset) for partition, offset in (await runner.run(_RETRY, params)).rows()]


async def count_parked(runner: Runner, group: str, shard: int) -> int:
    """How many events a group has put aside."""
    result = await runner.run(_COUNT, [text_(group), int4_(shard)])
    return int(result.column(0)[0])


async def list_parked(runner: Runner, *, group: str = "", limit: int = 100) -> list[ParkedEvent]:
    """What was put aside, by group and place. Roles: turnout_reader, turnout_admin."""
    result = await runner.run(_LIST, [text_(group), int8_(limit)])
    return [ParkedEvent(*row) for row in result.rows()]


async def ask_for_retry(
    runner: Runner,
    *,
    group: str,
    shard: int,
    partition: int,
    offset: int,
    operator: str,
    note: str = "",
) -> None:
    """An operator's word that an event be tried again; audited. Role: turnout_admin.

    Raises:
        OperatorError: it is not parked, or the texts are too long.
    """
    check_texts(operator, note)
    params = [*_place(group, shard, partition, offset), text_(operator), text_(note)]
    answer = await runner.run(_ASK, params)
    check_answer(answer.column(0)[0])


def _place(group: str, shard: int, partition: int, offset: int) -> list[bytes]:
    return [text_(group), int4_(shard), int4_(partition), int8_(offset)]
