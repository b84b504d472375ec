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
from ledger.stream.backend import Cursor, Page
from ledger.stream.errors import StreamError
from ledger.stream.record import Mark, position_of

_READ: Final = QUERIES["stream_cursor"]
_BEGIN: Final = QUERIES["begin_stream_cursor"]
_MOVE: Final = QUERIES["move_stream_cursor"]
_RESET: Final = QUERIES["reset_stream_cursor"]
_RESET_ALL: Final = QUERIES["reset_stream_cursors"]
_LOST: Final = QUERIES["lost_ranges"]
_SETTLED: Final = QUERIES["ledger_is_settled"]
_PASS_OVER_RESTORES: Final = QUERIES["pass_over_restores"]
_FORGET_PARKED: Final = QUERIES["forget_parked"]
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


async def reset_cursors(runner: Runner, shard: int) -> int:
    """Have every group read a shard from its beginning, because another stream begins there.

    Runners notice by themselves: an idle one when the stream ends before its cursor, a busy one
    when it moves. What comes again comes from a repair, so they ask which of it they know. So does
    what was parked, whose offsets mean nothing any more: it is let go. And what restores have lost
    was lost in the other stream: `lost_ranges` names none of it from now on.

    Returns:
        How many events were parked.
    """
    *_, forgotten = await runner.pipeline(
        [
            (_PASS_OVER_RESTORES, ()),
            (_RESET_ALL, [int4_(shard)]),
            (_FORGET_PARKED, [int4_(shard)]),
        ]
    )
    return forgotten.row_count


class CursorMovedError(StreamError):
    """A group's cursor is not where it was left: another runner has it, or the stream is new."""


class FloorCursor:
    """The cursor of a group that remembers what it has read: from where it must be read again.

    It stands behind the reader, at the oldest record that something is still open about. The relay
    sets it back where another stream begins; that is noticed whenever it is saved.

    Args:
        runner: of a role that may move cursors.
        group: whose it is.
        shard: of which stream.
    """

    def __init__(self, runner: Runner, group: str, shard: int) -> None:
        self._runner = runner
        self._group = group
        self._shard = shard
        self._saved: int | None = None  # until it was read

    async def read(self) -> Cursor:
        """Where the group goes on."""
        cursor = await read_cursor(self._runner, self._group, self._shard)
        self._saved = cursor.get(0, 0)
        return cursor

    async def save(self, floor: int) -> None:
        """Move it, or see that it still stands where it was left.

        Raises:
            CursorMovedError: it does not.
            DatabaseError: or one of its children.
        """
        if self._saved is None:
            await self.read()
        before = {0: self._saved or 0}
        if floor == self._saved:
            stands = await read_cursor(self._runner, self._group, self._shard)
            if stands.get(0, 0) != self._saved:
                raise CursorMovedError(f"the cursor of {self._group} was moved")
            return
        try:
            await self._runner.pipeline(move_steps(self._group, self._shard, before, {0: floor}))
        except DatabaseError as error:
            if was_moved_by_another(error):
                raise CursorMovedError(f"the cursor of {self._group} was moved") from None
            raise
        self._saved = floor


async def lost_ranges(runner: Runner) -> list[range]:
    """Offsets of the stream that count no more, because the ledger was set back."""
    return [range(*row) for row in (await runner.run(_LOST)).rows()]


async def ledger_is_settled(runner: Runner, slot: str, page: Page, record: bytes) -> bool:
    """Whether stream and ledger are of one history, as far as can be told now.

    Args:
        runner: asks the ledger.
        slot: of the relay whose word counts.
        page: of the stream; whose WAL its records are of.
        record: the newest one that is to have an effect. The ledger must have gone past its commit,
            where the page tells that it is of this server's present timeline.
    """
    mark = page.mark or Mark(0, 0, 0)
    params = [
        text_(slot),
        text_(str(mark.system_identifier)),
        int4_(mark.timeline),
        position_of(record).commit_lsn.to_bytes(8),
    ]
    settled: bool = (await runner.run(_SETTLED, params)).column(0)[0]
    return settled


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
