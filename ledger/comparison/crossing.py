"""From the end of one range to the beginning of the next: both sides, and the rows they leave.

Each side is read on, its records taken into `Rows`, until both take the WAL in again and are past
the place where the later of the two began to. On the way a side may be repaired once more; then the
place is further on. While the two are of different histories, because one relay has followed a
restored ledger and the other not yet, it is waited for.

Of two relays one may have come further before the ledger was set back. What it has of the history
that was left, behind the other's last mark there, the other will have only if the ledger has it
still. So one side may have such a row alone. That a ledger was set back, and not promoted, is seen
where that side begins anew before the place that it had come to, or by a row of `restores` that
both have, or that stands behind the history that was left. Such a row is never excused itself:
whoever plants one on one side has planted a difference.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from ledger.comparison.rows import Found, Rows, unlike
from ledger.comparison.side import Side
from ledger.stream.record import Mark

ROWS_MAX: Final = 100_000  # held in memory; 1 kB each at most
History = tuple[int, int]  # cluster and timeline


@define
class Crossing:
    """One gap. `leave` is called for a side whose stretch is over and passed.

    Attributes:
        first: a side.
        second: the other.
        begin_lsn: where the range before it ended.
        end_lsn: where the next range begins; known when it is over.
        is_over: whether both sides are there.
    """

    first: Side
    second: Side
    begin_lsn: int = 0
    end_lsn: int = 0
    is_over: bool = False
    _rows: tuple[Rows, Rows] = field(factory=lambda: (Rows(ROWS_MAX), Rows(ROWS_MAX)))
    # By history and side: how far it was followed, and which offset was the next.
    _left: dict[History, dict[str, tuple[int, int]]] = field(factory=dict)

    @property
    def repaired(self) -> tuple[int, int]:
        """Records that a repair appended on either side."""
        first, second = self._rows
        return first.repaired, second.repaired

    @property
    def is_compared(self) -> bool:
        """Whether there is anything to be said of the rows."""
        return not any(rows.overfull for rows in self._rows)

    def unlike(self) -> list[tuple[Found | None, Found | None]]:
        """The rows that are not on both sides alike, and should be."""
        return [pair for pair in unlike(*self._rows) if not self._may_be_lost(*pair)]

    def leave(self, side: Side) -> None:
        """Have a side enter the gap, and note how far it has followed its history."""
        assert side.mark is not None
        ends = self._left.setdefault(_history(side.mark), {})
        ends[side.name] = (side.mark.end_lsn, side.enter_gap())

    def _catch_up(self, pairs: list[tuple[Side, Rows]], count: int) -> int:
        """Take in what a side has of a history that the other is past; that one's records wait.

        Places in the WAL of the two say nothing of each other then, but this: where a record of the
        former history stands at the other's beginning or behind it, the ledger was set back to
        before that record. So all of its stretch is to be passed, without a look at where it ends.
        """
        (side, rows), (other, _) = sorted(pairs, key=lambda pair: self._is_past(pair[0]))
        done = side.collect(rows, other.begin_lsn, count)
        if done < count and _history(side.mark) != _history(other.mark):
            done += side.collect(rows, None, min(side.waiting, count))
        return done

    def _is_past(self, side: Side) -> bool:
        """Whether a side is past the history that the other is in."""
        other = self.second if side is self.first else self.first
        ours, theirs = _history(side.mark), _history(other.mark)
        return side.name in self._left.get(theirs, ()) or (ours[0] == theirs[0] and ours > theirs)

    def _may_be_lost(self, one: Found | None, other: Found | None) -> bool:
        """Whether a row is of a history that was left, and behind where the other side left it."""
        if one is not None and other is not None:
            return False
        side, late = (self.first, self.second) if one is not None else (self.second, self.first)
        found = one or other
        assert found is not None
        record, _, offset = found
        if self._is_note(side, offset):
            return False
        for history, ends in self._left.items():
            end_lsn, end = ends.get(side.name, (0, 0))
            if history != _history(side.mark) and offset < end:
                was_set_back = (
                    side.begin_lsn < end_lsn
                    or history[0] != _history(side.mark)[0]
                    or self._is_noted(history[1], ends)
                )
                followed_to, _ = ends.get(late.name, (0, 0))
                return was_set_back and int.from_bytes(record[8:16]) >= followed_to
        return False

    def _is_note(self, side: Side, offset: int) -> bool:
        """Whether what a side has at an offset says that the ledger was set back."""
        rows = self._rows[side is self.second]
        return any(offset == at for _, at in rows.notes.values())

    def _is_noted(self, timeline: int, ends: dict[str, tuple[int, int]]) -> bool:
        """Whether a row says that the ledger was set back from a history that was left.

        Only on both sides, or behind what it would excuse: that of a side alone in the tail that it
        left may be planted there, and excuses nothing.
        """
        first, second = self._rows
        sides = ((self.first, first, second), (self.second, second, first))
        return any(
            left == timeline and (digest in other.notes or at >= ends.get(side.name, (0, 0))[1])
            for side, rows, other in sides
            for digest, (left, at) in rows.notes.items()
        )

    def step(self, count: int) -> int:
        """Take in what there is, some `count` records at most; 0 when there is nothing to do now.

        Raises:
            StreamError, OSError: see `Tape.read`.
            KeyError: a record's table is not described.
        """
        pairs = list(zip((self.first, self.second), self._rows, strict=True))
        if any(side.in_gap for side, _ in pairs):
            passing = [(side, rows) for side, rows in pairs if side.in_gap]
            done = sum(side.pass_gap(rows, count) for side, rows in passing)
            return done + sum(not side.in_gap for side, _ in passing)
        end_lsn = max(self.first.begin_lsn, self.second.begin_lsn)
        if _history(self.first.mark) == _history(self.second.mark):
            done = sum(side.collect(rows, end_lsn, count) for side, rows in pairs)
        else:
            done = self._catch_up(pairs, count)
        if done >= count:
            return done
        is_one_history = _history(self.first.mark) == _history(self.second.mark)
        for side, rows in pairs:
            if side.over and not (is_one_history and _reaches(side, end_lsn)):
                done += side.collect(rows, None, count)
                if not side.ahead(1):
                    self.leave(side)
                return done + 1
        if is_one_history and all(_reaches(side, end_lsn) for side, _ in pairs):
            self.end_lsn, self.is_over = end_lsn, True
            return done + 1
        return done


def _history(mark: Mark | None) -> History:
    assert mark is not None
    return mark.system_identifier, mark.timeline


def _reaches(side: Side, lsn: int) -> bool:
    """Whether a side has come to a place in the WAL: by a record behind it, or by its mark."""
    records = side.ahead(1)
    assert side.mark is not None
    return bool(records) or side.mark.end_lsn >= lsn
