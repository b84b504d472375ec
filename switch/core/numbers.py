"""The numbers on a message: STAN (DE 11), transmission time (DE 7) and RRN (DE 37).

Theory of operation. No (acquirer id, DE 7, STAN) may be used twice on a network within a year, in
spite of crashes and of a clock that steps back (money.md I8). STANs are taken from blocks that the
ledger hands out durably, in turn; each block comes with a *floor*, the first second that its STANs
may carry, because the time before it may have been used with them already. DE 7 is formatted from
`max(now, last, floor)`: it never goes back. A block is never used past its *ceiling*, the last
second covered by what the ledger wrote when it handed the block out, so that a crash needs to know
nothing about how far the block had got.

The RRN is base-36 and names one payment for its whole life: one character for the switch, so that
switches cannot meet, then eleven for a count of microseconds that only ever grows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

import attrs

STAN_MAX = 999_999  # six digits; 000000 is unused
RRN_EPOCH_US = 1_577_836_800_000_000  # 2020-01-01: 36**11 µs from here is the year 6192
RRN_LENGTH = 12
_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASE36_SET = frozenset(_BASE36)
_PAIRS = tuple(a + b for a in _BASE36 for b in _BASE36)


class NumbersExhaustedError(Exception):
    """No STAN block is at hand that may be used now; nothing may be sent until one is."""


@attrs.frozen(kw_only=True)
class StanBlock:
    """A durable reservation: `count` STANs from `first`, for seconds `floor_s` to `ceiling_s`."""

    first: int
    count: int
    floor_s: int  # UTC seconds since 1970, inclusive
    ceiling_s: int  # inclusive

    def __attrs_post_init__(self) -> None:
        if not (self.first >= 1 and self.count >= 1 and self.first + self.count - 1 <= STAN_MAX):
            raise ValueError("a STAN block lies within 000001 to 999999")
        if self.floor_s > self.ceiling_s:
            raise ValueError("a STAN block's floor lies after its ceiling")


class StanAllocator:
    """STAN and DE 7 for one (network, acquirer id); the caller keeps it supplied with blocks."""

    __slots__ = ("_blocks", "_de7", "_end", "_last_s", "_next")

    def __init__(self) -> None:
        self._blocks: deque[StanBlock] = deque()
        self._next = 0
        self._end = 0
        self._last_s = 0
        self._de7 = ""

    @property
    def blocks(self) -> int:
        """Blocks at hand, of whatever use they still are."""
        return len(self._blocks)

    def usable(self, now_s: int, *, ahead_s: int = 0) -> int:
        """STANs at hand that may still be used in `ahead_s` seconds, in all blocks."""
        second = max(now_s, self._last_s) + ahead_s
        count = 0
        for position, block in enumerate(self._blocks):
            if max(second, block.floor_s) <= block.ceiling_s:
                count += block.count if position else self._end - self._next
        return count

    @property
    def last_s(self) -> int:
        """The latest second that any DE 7 has carried."""
        return self._last_s

    def add(self, block: StanBlock) -> None:
        """Put a block behind those at hand."""
        self._blocks.append(block)
        if len(self._blocks) == 1:
            self._begin()

    def forget_expired(self, now_s: int) -> None:
        """Let go of blocks past their ceiling, which in quiet times nobody draws from."""
        second = max(now_s, self._last_s)
        while self._blocks and self._blocks[0].ceiling_s < second:
            self._blocks.popleft()
            self._begin()

    def next(self, now_s: int) -> tuple[str, str]:
        """The next (STAN, DE 7).

        Raises:
            NumbersExhaustedError: every block at hand is used up or past its ceiling.
        """
        while self._blocks:
            block = self._blocks[0]
            second = max(now_s, self._last_s, block.floor_s)
            if self._next < self._end and second <= block.ceiling_s:
                if second != self._last_s:
                    self._last_s = second
                    self._de7 = format_de7(second)
                stan = self._next
                self._next = stan + 1
                return f"{stan:06d}", self._de7
            self._blocks.popleft()
            self._begin()
        raise NumbersExhaustedError("no STAN block may be used now")

    def _begin(self) -> None:
        if self._blocks:
            self._next = self._blocks[0].first
            self._end = self._next + self._blocks[0].count
        else:
            self._next = self._end = 0


def format_de7(second: int) -> str:
    """MMDDhhmmss in UTC, from seconds since 1970."""
    return datetime.fromtimestamp(second, UTC).strftime("%m%d%H%M%S")


class RRNSource:
    """Twelve characters, unique for ever for one switch: its own letter, then growing microseconds.

    `newest` (optional) is the newest RRN that the ledger knows for this switch: after a clock step
    the count goes on from there.
    """

    __slots__ = ("_head", "_head_count", "_last", "_letter", "_now_us")

    def __init__(self, index: int, now_us: Callable[[], int], newest: str = "") -> None:
        if not 0 <= index < len(_BASE36):
            raise ValueError("at most 36 switches have RRN ranges of their own")
        self._letter = _BASE36[index]
        self._now_us = now_us
        self._last = int(newest[1:], 36) if newest else 0
        self._head = ""  # the first ten characters of the newest RRN, and what they stand for
        self._head_count = -1

    def next(self) -> str:
        """The next RRN."""
        count = self._now_us() - RRN_EPOCH_US
        if count <= self._last:
            count = self._last + 1
        self._last = count
        head, pair = divmod(count, 1296)
        if head != self._head_count:  # once in 1.3 ms
            self._head_count = head
            self._head = self._format_head(head)
        return self._head + _PAIRS[pair]

    def _format_head(self, count: int) -> str:
        pairs = _PAIRS
        count, a = divmod(count, 1296)
        count, b = divmod(count, 1296)
        count, c = divmod(count, 1296)
        count, d = divmod(count, 1296)
        return f"{self._letter}{_BASE36[count]}{pairs[d]}{pairs[c]}{pairs[b]}{pairs[a]}"


def is_rrn(text: str) -> bool:
    """Whether a text, such as a network's DE 37, has the form of an RRN of ours."""
    return len(text) == RRN_LENGTH and set(text) <= _BASE36_SET


def rrn_time_us(rrn: str) -> int:
    """The microseconds since 1970 that an RRN of ours was drawn at."""
    return int(rrn[1:], 36) + RRN_EPOCH_US
