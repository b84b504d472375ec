"""STAN blocks: six-digit numbers handed out so that none meets the same second twice.

A network knows a message by (acquirer id, DE 7, STAN), and DE 7 has seconds. So the 999,999 STANs
of a (network, acquirer id) are cut into blocks once, and a block's row holds the lowest full UTC
second it may be used with, its *floor*. Taking a block moves the floor past the *ceiling*, the
last second the taker may use, in the same durable write. Blocks are taken lowest floor first. A
crash, or a clock that steps back, therefore reuses nothing: whoever takes the block next starts
above every second it can have been used with.

With 60 s of use a block, 999,999 STANs last for 16,000 messages/s on one network; beyond that
floors lie ahead of the clock, and DE 7 with them.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ledger.errors import LedgerError
from ledger.pgtypes import int4_, text_, timestamptz_
from ledger.statements import QUERIES, Runner

BLOCK_USE_S: Final = 60

_LOCK: Final = QUERIES["lock_stan_blocks"]
_CUT: Final = QUERIES["cut_stan_blocks"]
_TAKE: Final = QUERIES["take_stan_block"]


class StanReservation(Struct, gc=False, frozen=True):
    """`count` STANs from `first`, for the seconds `floor_s` to `ceiling_s`, both inclusive."""

    first: int
    count: int
    floor_s: int  # UTC seconds since 1970
    ceiling_s: int


class NoStanBlockError(LedgerError):
    """Every block of the (network, acquirer id) is being taken by somebody else right now."""


async def prepare_stans(
    runner: Runner, network: str, acquirer_id: str, *, block_count: int
) -> None:
    """Cut the STANs of a (network, acquirer id) into blocks of `block_count`, if nobody has yet.

    A different `block_count` later changes nothing: blocks in use must not overlap.
    """
    names = [text_(network), text_(acquirer_id)]
    await runner.pipeline([(_LOCK, names), (_CUT, [*names, int4_(block_count)])])


async def take_stans(
    runner: Runner, network: str, acquirer_id: str, *, now_s: int, use_s: int = BLOCK_USE_S
) -> StanReservation:
    """Reserve a block durably for `use_s` seconds from `now_s`, or from its floor if that is later.

    Raises:
        NoStanBlockError: all blocks are locked, or `prepare_stans` was never called.
    """
    result = await runner.run(
        _TAKE,
        [text_(network), text_(acquirer_id), timestamptz_(now_s * 1_000_000), int4_(use_s)],
    )
    if result.row_count == 0:
        raise NoStanBlockError(f"no STAN block of {network} can be taken now")
    [(first, count, floor_us, ceiling_us)] = result.rows()
    return StanReservation(first, count, floor_us // 1_000_000, ceiling_us // 1_000_000)
