"""What is done to the queues of a switch by whoever takes them up, at a start or in a takeover.

Queues come due by the steady clock of the process that works them off (`chassis.clock`), which no
step of the wall clock moves. The next process has another one. If the wall clock was set back in
between, what the last one has put ahead by seconds lies ahead by hours; if it was set forward, or
nobody was there for a while, windows are over in which nobody has asked.

So an advice that lies further ahead than its schedule can have put it is due at once. And a doubt
with a question left has its window anew, that it may be asked about before it is reversed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from ledger.connection import Params
from ledger.pgtypes import int4_, int8_, text_, timestamptz_, timestamptz_array
from ledger.queries import Query
from ledger.statements import QUERIES, Runner

ROWS_MAX: Final = 1_000  # a statement: some milliseconds

_DOUBTS: Final = QUERIES["reopen_doubts"]
_ADVICES: Final = QUERIES["free_advices"]


class Reach(Struct, frozen=True):
    """How far ahead of `now_us` anything of one network can lie; µs since 1970."""

    network: str
    now_us: int
    doubts_us: int  # the end of a window that opens now
    questions: int  # that a doubt has
    advices_us: Sequence[int]  # by how often they were sent; the last for every higher count


async def reopen_doubts(runner: Runner, owner: str, reach: Reach, *, limit: int = ROWS_MAX) -> int:
    """Open windows of doubts anew in one switch's queue for one network; gives how many.

    Those in which no question is left end when they were to end, or with a window that opens now if
    they lie further ahead. At most `limit` a statement, repeated until all are done. Role:
    turnout_switch.

    Raises:
        RetryableError: or another DatabaseError; what was done before stays so.
    """
    params = [
        text_(owner),
        text_(reach.network),
        timestamptz_(reach.now_us),
        timestamptz_(reach.doubts_us),
        int4_(reach.questions),
        int8_(limit),
    ]
    return await _until_all_are_done(runner, _DOUBTS, params, limit)


async def free_advices(runner: Runner, owner: str, reach: Reach, *, limit: int = ROWS_MAX) -> int:
    """Make due at once what lies too far ahead, likewise among advices; gives how many.

    Raises:
        RetryableError: or another DatabaseError; what was done before stays so.
    """
    params = [
        text_(owner),
        text_(reach.network),
        timestamptz_(reach.now_us),
        timestamptz_array(reach.advices_us),
        int8_(limit),
    ]
    return await _until_all_are_done(runner, _ADVICES, params, limit)


async def _until_all_are_done(runner: Runner, query: Query, params: Params, limit: int) -> int:
    done = 0
    while True:
        count = (await runner.run(query, params)).row_count
        done += count
        if count < limit:
            return done
