"""How far each consumer group has come: rows beside the group's effects, moved with them.

A cursor is moved by a step of the transaction that has the effect of the events it passes. So both
are there or neither, whatever dies when. The move says where the cursor stood; if it stands
elsewhere by then, another runner of the group is at work, and the transaction ends without effect.
"""

from __future__ import annotations

from typing import Final

from ledger.connection import Step
from ledger.errors import DatabaseError
from ledger.pgtypes import int4_, int8_, text_
from ledger.statements import QUERIES, Runner
from ledger.stream.backend import Cursor

_READ: Final = QUERIES["stream_cursor"]
_BEGIN: Final = QUERIES["begin_stream_cursor"]
_MOVE: Final = QUERIES["move_stream_cursor"]
_RESET: Final = QUERIES["reset_stream_cursor"]
_RESET_ALL: Final = QUERIES["reset_stream_cursors"]
_EXPECTED: Final = "stream_cursors_expected"


async def read_cursor(runner: Runner, group: str, shard: int) -> Cursor:
    """Where a group goes on; empty if it has never begun."""
    result = await runner.run(_READ, [text_(group), int4_(shard)])
    return dict(result.rows())


async def begin_cursor(runner: Runner, group: str, shard: int, cursor: Cursor) -> Cursor:
    """Note where a new group begins; where an old one stands is left alone. Returns the latter."""
    for partition, offset in cursor.items():
        place = [text_(group), int4_(shard), int4_(partition), int8_(offset)]
        await runner.run(_BEGIN, place)
    return await read_cursor(runner, group, shard)


async def reset_cursor(runner: Runner, group: str, shard: int, cursor: Cursor) -> None:
    """Have a group read again from anywhere. Its runner must not be running: it would stop."""
    for partition, offset in cursor.items():
        place = [text_(group), int4_(shard), int4_(partition), int8_(offset)]
        await runner.run(_RESET, place)


async def reset_cursors(runner: Runner, shard: int) -> None:
    """Have every group read a shard from its beginning, because another stream begins there.

    Runners notice by themselves: an idle one when the stream ends before its cursor, a busy one
    when it moves. What comes again comes from a repair, so they ask which of it they know.
    """
    await runner.run(_RESET_ALL, [int4_(shard)])


def move_steps(group: str, shard: int, before: Cursor, after: Cursor) -> list[Step]:
    """The steps that move a cursor, to be run in the transaction of the effect."""
    return [
        (
            _MOVE,
            [
                text_(group),
                int4_(shard),
                int4_(partition),
                int8_(before.get(partition, 0)),
                int8_(offset),
            ],
        )
        for partition, offset in after.items()
        if offset != before.get(partition, 0)
    ]


def was_moved_by_another(error: DatabaseError) -> bool:
    """Whether a transaction failed because its cursor was not where it was expected."""
    return error.constraint == _EXPECTED
