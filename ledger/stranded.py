"""What waits for an instant that no schedule can have meant, freed when a queue is taken up.

Queues come due by the steady clock of the process that works them off (`chassis.clock`), which no
step of the wall clock moves. The next process has another one, and if the wall clock was set back
in between, what the last one has put ahead by seconds lies ahead by hours. So whoever takes up the
queues of a switch, at its start or in a takeover, first has everything freed that lies further
ahead than it can. The rest is late by no more than its own wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from ledger.pgtypes import int4_, int8_, text_, timestamptz_, timestamptz_array
from ledger.statements import QUERIES, Runner

ROWS_MAX: Final = 1_000  # a statement: some milliseconds

_DOUBTS: Final = QUERIES["free_stranded_doubts"]
_ADVICES: Final = QUERIES["free_stranded_advices"]


class Reach(Struct, frozen=True):
    """How far ahead of `now_us` anything of one network can lie; µs since 1970."""

    network: str
    now_us: int
    doubts_us: int
    questions: int  # that a doubt has
    advices_us: Sequence[int]  # by how often they were sent; the last for every higher count


async def free_stranded(runner: Runner, owner: str, reach: Reach, *, limit: int = ROWS_MAX) -> int:
    """Free what is stranded in one switch's queues for one network; gives how many rows.

    At most `limit` of each queue a statement, repeated until none is left. Role: turnout_switch.

    Raises:
        RetryableError: or another DatabaseError; what was freed before stays so.
    """
    head = [text_(owner), text_(reach.network), timestamptz_(reach.now_us)]
    doubts = [*head, timestamptz_(reach.doubts_us), int4_(reach.questions), int8_(limit)]
    advices = [*head, timestamptz_array(reach.advices_us), int8_(limit)]
    freed = 0
    for query, parameters in ((_DOUBTS, doubts), (_ADVICES, advices)):
        while True:
            count = (await runner.run(query, parameters)).row_count
            freed += count
            if count < limit:
                break
    return freed
