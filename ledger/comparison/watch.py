"""Who compares two streams while they grow, and tells: slice by slice, for a share of a core."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Never

import trio
from attrs import define, field

from chassis.log import get_logger
from chassis.settings.tree import Relay as Limits
from ledger.comparison.comparing import Comparison
from ledger.comparison.differences import Difference
from ledger.comparison.position import Position, begin, load, position_of, save
from ledger.stream.errors import StreamError

SLICE_RECORDS: Final = 8_192  # compared without a pause: 30 ms
SAVE_S: Final = 5.0  # between two positions kept
REMIND_S: Final = 60.0  # between two log lines about the same wait
SHARD: Final = 0  # of the folder: each shard's data directory is its own

_log = get_logger(__name__)


@define(kw_only=True)
class Watch:
    """The comparison of one shard's two streams.

    Attributes:
        data_dir: where the position is kept.
        first: the folder of the first stream's segments.
        second: likewise.
        limits: the relay's settings.
        now_s: a clock that only moves forward.
        comparison: what is known; None before both streams could be looked at.
        waiting_s: how long records of one stream have waited for the other's.
        alarmed: whether that is over its limit.
    """

    data_dir: Path
    first: Path
    second: Path
    limits: Limits
    now_s: Callable[[], float]
    comparison: Comparison | None = None
    waiting_s: float = 0.0
    alarmed: bool = False
    _told: int = 0  # differences
    _gaps_told: int = 0
    _damage_told: Difference | None = None
    _saved: Position | None = None
    _waits_for: str = ""  # which side, or both
    _waiting_since: float | None = None
    _compared_before: int = -1
    _next_save_at: float = 0.0
    _next_reminder_at: float = 0.0
    _trouble: str = field(default="")

    @property
    def differences_total(self) -> int:
        """Differences ever since both streams are these; those known, while they cannot be read."""
        known = self.comparison or self._saved
        return known.differences_total if known else 0

    @property
    def is_damaged(self) -> bool:
        """Whether one of them cannot be read on."""
        return self.comparison is not None and self.comparison.damage is not None

    async def run(self) -> Never:
        """Compare until canceled.

        Raises:
            OSError: the position cannot be kept.
        """
        limits = self.limits
        while True:
            began = self.now_s()
            more = self.look()
            took_s = self.now_s() - began
            pause_s = took_s * (1 / limits.compare_share - 1)
            await trio.sleep(pause_s if more else max(pause_s, limits.compare_interval_s))

    def look(self) -> bool:
        """Compare one slice, and tell; whether there is more to do at once."""
        try:
            if self.comparison is not None and self.comparison.was_replaced():
                _log.warning("a stream was replaced, comparing anew")
                self.close()
            if self.comparison is None:
                self._begin()
            assert self.comparison is not None
            done = self.comparison.advance(SLICE_RECORDS)
            self._waits_for = "" if self.is_damaged else self.comparison.late_side()
            self._trouble = ""
        except (StreamError, OSError) as error:
            if self._trouble != str(error):
                _log.error("streams cannot be compared", reason=str(error))
            self._trouble = str(error)
            done, self._waits_for = 0, "both"
        self._tell()
        self._judge_wait()
        if self.now_s() >= self._next_save_at:
            self.keep()
        return done >= SLICE_RECORDS

    def keep(self) -> None:
        """Keep the position, if it has moved.

        Raises:
            OSError: the disk does not take it.
        """
        self._next_save_at = self.now_s() + SAVE_S
        position = position_of(self.comparison) if self.comparison else None
        if position is not None and position != self._saved:
            save(self.data_dir, position)
            self._saved = position

    def close(self) -> None:
        """Let go of both streams."""
        if self.comparison is not None:
            self.comparison.first.tape.close()
            self.comparison.second.tape.close()
        self.comparison = None

    def _begin(self) -> None:
        self._saved = load(self.data_dir)
        self.comparison = begin(self.first, self.second, SHARD, self._saved)
        self._told = len(self.comparison.differences)
        self._gaps_told = 0
        _log.info(
            "comparing",
            goes_on=self.comparison.is_aligned,
            differences=self.comparison.differences_total,
        )

    def _tell(self) -> None:
        if self.comparison is None:
            return
        found = self.comparison.differences
        for one in found[self._told :]:
            _log.critical(
                "streams_differ",
                kind=one.kind,
                detail=one.detail,
                row=one.row,
                lsn=one.lsn,
                ordinal=one.ordinal,
                first=one.first,
                second=one.second,
                remedy="turnout relay compare",
            )
        self._told = len(found)
        damage = self.comparison.damage
        if damage is not None and damage != self._damage_told:
            _log.critical(
                "stream_damaged",
                detail=damage.detail,
                first=damage.first,
                second=damage.second,
                remedy="turnout audit verify all",
            )
        self._damage_told = damage
        if self.comparison.gaps_total != self._gaps_told:
            self._gaps_told = self.comparison.gaps_total
            gap = self.comparison.gaps[-1]
            _log.info(
                "range_begins",
                after=gap.end,
                gap_began=gap.begin,
                repaired_first=gap.repaired_first,
                repaired_second=gap.repaired_second,
                rows_compared=gap.compared,
            )

    def _judge_wait(self) -> None:
        """How long the comparison has stood still although there is something to compare."""
        comparison, now = self.comparison, self.now_s()
        compared = comparison.progress() if comparison else 0
        if not self._waits_for or compared != self._compared_before:
            self._waiting_since = now if self._waits_for else None
        self._compared_before = compared
        self.waiting_s = 0.0 if self._waiting_since is None else now - self._waiting_since
        alarmed = self.waiting_s >= self.limits.compare_alarm_s
        if alarmed and (not self.alarmed or now >= self._next_reminder_at):
            self._next_reminder_at = now + REMIND_S
            _log.error(
                "streams_not_compared",
                waiting_s=round(self.waiting_s, 1),
                waits_for=self._waits_for,
                remedy="turnout relay status",
            )
        elif self.alarmed and not alarmed:
            _log.warning("streams_compared_again")
        self.alarmed = alarmed
