"""What was appended lately, for a reader in the writer's own process.

Whoever reads the stream where it is written would take out of files what has just been put into
them: as much work again as appending it. So a writer may be asked to keep its newest batches, and a
reader beside it gives them out as they are. Nothing else differs: a batch is kept once it is
durable, and what is no longer kept, or was appended before, comes from the stream. What has been
read is let go while it is still in a processor's cache: freeing a record a second later costs as
much again as reading it.
"""

from __future__ import annotations

from collections import deque
from itertools import accumulate, count, repeat
from typing import Final, Self

import attrs
import trio

from ledger.stream.backend import Batch, Cursor, Page, Reader, Writer
from ledger.stream.record import Mark, Position, descriptor_id

RECENT_BYTES_MAX: Final = 16_777_216  # a second's records at 50,000 a second
_PARTITION: Final = 0  # a writer has one


@attrs.frozen
class _Kept:
    first_offset: int
    next_offset: int
    batch: Batch
    size: int  # bytes of its records


class RecentWriter:
    """`ledger.stream.backend.Writer` over another one, whose newest batches it keeps.

    Args:
        inner: not yet open.
        bytes_max: of records kept; of the newest batch alone there may be more.
    """

    def __init__(self, inner: Writer, bytes_max: int = RECENT_BYTES_MAX) -> None:
        self._inner = inner
        self._bytes_max = bytes_max
        self._kept: deque[_Kept] = deque()
        self._kept_bytes = 0
        self._descriptors: dict[bytes, bytes] = {}

    @property
    def next_offset(self) -> int:
        """The offset that the next record will get."""
        return self._inner.next_offset

    @property
    def last(self) -> Position | None:
        """Where the last record came from; None while there is none."""
        return self._inner.last

    async def open(self) -> Mark | None:
        """Open the inner one; raises as `ledger.stream.backend` says."""
        return await self._inner.open()

    async def append(self, batch: Batch) -> int:
        """Append to the inner one, then keep the batch; raises as `ledger.stream.backend` says."""
        next_offset = await self._inner.append(batch)
        self._descriptors |= {descriptor_id(one): one for one in batch.descriptors}
        if batch.records:
            size = sum(map(len, batch.records))
            first_offset = next_offset - len(batch.records)
            self._kept.append(_Kept(first_offset, next_offset, batch, size))
            self._kept_bytes += size
            while self._kept_bytes > self._bytes_max and len(self._kept) > 1:
                self._kept_bytes -= self._kept.popleft().size
        return next_offset

    def let_go(self, before: int) -> None:
        """Keep nothing that ends before an offset: whoever reads here has it."""
        while self._kept and self._kept[0].next_offset <= before:
            self._kept_bytes -= self._kept.popleft().size

    async def aclose(self) -> None:
        """Close the inner one."""
        await self._inner.aclose()

    def page(self, wanted: int, records_max: int, bytes_max: int) -> Page | None:
        """The records from an offset on, as many as fit; None where they are not kept."""
        kept = self._kept
        if not kept or not kept[0].first_offset <= wanted < kept[-1].next_offset:
            return None
        records: list[tuple[int, int, bytes]] = []
        mark: Mark | None = None
        for one in kept:
            if one.next_offset <= wanted:
                continue
            found, room = one.batch.records[wanted - one.first_offset :], records_max - len(records)
            if len(found) > room or one.size > bytes_max:
                ends = accumulate(map(len, found[:room]))
                fitting = sum(end <= bytes_max for end in ends)
                found = found[: max(fitting, not records)]
                records += zip(repeat(_PARTITION), count(wanted), found)
                wanted += len(found)
                break
            records += zip(repeat(_PARTITION), count(wanted), found)
            bytes_max -= one.size
            wanted, mark = one.next_offset, one.batch.mark
        return Page(records, self._descriptors, {_PARTITION: wanted}, mark)


class RecentReader:
    """`ledger.stream.backend.Reader` over another one, for what a `RecentWriter` keeps no more.

    Args:
        recent: of the same stream, in the same event loop.
        inner: not yet entered.
    """

    def __init__(self, recent: RecentWriter, inner: Reader) -> None:
        self._recent = recent
        self._inner = inner

    async def __aenter__(self) -> Self:
        """Open the inner one."""
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of what the inner one holds open."""
        await self._inner.__aexit__()

    async def high_water(self) -> Cursor:
        """The cursor behind everything that is durable now."""
        return await self._inner.high_water()

    async def read(self, cursor: Cursor, records_max: int, bytes_max: int) -> Page:
        """Return what follows `cursor`; waits and raises as `ledger.stream.backend` says."""
        wanted = cursor.get(_PARTITION, 0)
        self._recent.let_go(wanted)
        page = self._recent.page(wanted, records_max, bytes_max)
        if page is None:
            return await self._inner.read(cursor, records_max, bytes_max)
        await trio.lowlevel.checkpoint()
        return page
