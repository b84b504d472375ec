"""Two streams of one database held to each other, record by record, by Merkle root.

Theory of operation
-------------------
Two relays read the same WAL through slots of their own, and a record's bytes come from the WAL
alone. So where both streams have taken the WAL in, they hold the same records in the same order,
whatever batches, heartbeats and deaths there were: a *range*, from where the later of the two
begins, grows as long as both go on. Over the records of a range each side's root of RFC 9162 is
computed. Equal roots mean equal records, and whoever keeps one stream elsewhere can hold it to the
other by this one number. Where roots part, hashes are looked at one by one, the record is named,
and a new range begins behind it.

*What is missing, and what has not come yet.* A stream's mark says how far it is in the WAL. A
record that stands before the other's mark, and is not there, is missing; any other is waited for.

*Gaps.* Where one side was repaired, its records do not come from the WAL. The range ends where the
gap begins, and the next one begins where both have the WAL again. Between them both sides must
have left the same rows (`ledger.comparison.crossing`, `.rows`).

*Behind a difference* both sides are looked ahead, a little, for where they go on alike. So a record
that was put in, or is gone, is one difference and not one for each that follows.

It reads what is there and returns; who calls it, how often and for how much of a core is not its
business. Nothing here is written to.
"""

from __future__ import annotations

from typing import Final

import msgspec
from attrs import define, field

from ledger.audit.merkle import leaf_hash
from ledger.comparison.crossing import Crossing
from ledger.comparison.differences import (
    BYTES,
    DAMAGE,
    DIFFERENCES_MAX,
    ONLY_FIRST,
    ONLY_SECOND,
    ORDER,
    ROW,
    Difference,
    difference,
)
from ledger.comparison.range_tree import RangeTree
from ledger.comparison.ranges import Gap, Range
from ledger.comparison.side import Side
from ledger.relay.positions import format_lsn
from ledger.stream.errors import RecordError, StreamCorruptError, StreamMissingError
from ledger.stream.record import position_of

CHUNK: Final = 2_048  # records hashed in one go: 5 ms
LOOK_AHEAD: Final = 256  # for where two streams go on alike
RANGES_MAX: Final = 1_000  # kept and shown, the newest


@define
class Comparison:
    """Two streams, side by side.

    Attributes:
        first: of the first relay.
        second: of the second.
        leaves: records compared in ranges.
        differences: the first ones found.
        differences_total: all of them.
        damage: why one of the streams cannot be read on; None while both can.
        ranges: those that are complete, the newest.
        gaps: likewise.
        gaps_total: all of them.
    """

    first: Side
    second: Side
    leaves: int = 0
    differences: list[Difference] = field(factory=list)
    differences_total: int = 0
    damage: Difference | None = None
    ranges: list[Range] = field(factory=list)
    gaps: list[Gap] = field(factory=list)
    gaps_total: int = 0
    _trees: tuple[RangeTree, RangeTree] = field(factory=lambda: (RangeTree(), RangeTree()))
    _range_begin: int = 0
    _crossing: Crossing | None = None  # of the gap between two ranges
    _lone: dict[bytes, tuple[int, Side]] = field(factory=dict)  # by hash: who has it alone

    def __attrs_post_init__(self) -> None:
        if self.first.in_gap or self.second.in_gap:
            self._crossing = Crossing(self.first, self.second)
        else:
            self._range_begin = max(self.first.begin_lsn, self.second.begin_lsn)

    @property
    def is_aligned(self) -> bool:
        """Whether a range is being compared, and not the gap between two."""
        return self._crossing is None

    def advance(self, records_max: int) -> int:
        """Compare what there is, up to about so many records; 0 when there is nothing to do now.

        At damage in a stream it stands, and looks again at the next call.

        Raises:
            OSError: a file cannot be read now.
        """
        done = 0
        self.damage = None
        while done < records_max:
            try:
                gap = self._crossing
                step = self._follow() if gap is None else self._cross(gap, records_max)
            except (StreamCorruptError, StreamMissingError, RecordError, KeyError) as error:
                self.damage = self._damaged(error)
                break
            if not step:
                break
            done += step
        return done

    def current_range(self) -> Range:
        """The range that is being compared, as far as it is."""
        ours, _ = self._trees
        last = self.first.last
        end = int.from_bytes(last[8:16]) if ours.size else self._range_begin
        root = ours.root().hex()
        return Range(format_lsn(self._range_begin), format_lsn(end), ours.size, root)

    def progress(self) -> int:
        """A number that changes whenever anything was compared or passed."""
        return self.first.passed + self.second.passed

    def was_replaced(self) -> bool:
        """Whether one of the streams is another one by now."""
        return self.first.tape.was_replaced() or self.second.tape.was_replaced()

    def late_side(self) -> str:
        """Whose records the other side's wait for; `both` if each waits, empty where none does.

        Raises:
            StreamError, OSError: that cannot be told.
        """
        waiting = (self.first.waits(), self.second.waits())
        if all(waiting):
            return "both"
        return self.second.name if waiting[0] else self.first.name if waiting[1] else ""

    # ----------------------------------------------------------------------------------- a range

    def _follow(self) -> int:
        first, second = self.first, self.second
        ours, theirs = first.ahead(CHUNK), second.ahead(CHUNK)
        if count := min(len(ours), len(theirs)):
            return self._hold(ours[:count], theirs[:count])
        if ours:
            return self._wait_for(second, first, ours[0])
        if theirs:
            return self._wait_for(first, second, theirs[0])
        if (first.over and _is_past(second, first)) or (second.over and _is_past(first, second)):
            self._begin_gap()
            return 1
        return 0

    def _hold(self, ours: list[bytes], theirs: list[bytes]) -> int:
        """Hold as many records of one side as of the other to each other."""
        first_tree, second_tree = self._trees
        ours_hashed, theirs_hashed = list(map(leaf_hash, ours)), list(map(leaf_hash, theirs))
        first_after, second_after = first_tree.copy(), second_tree.copy()
        first_after.extend(ours_hashed)
        second_after.extend(theirs_hashed)
        if first_after.root() == second_after.root():
            self._trees = (first_after, second_after)
            self._pass(len(ours))
            return len(ours)
        pairs = zip(ours_hashed, theirs_hashed, strict=True)
        alike = next(index for index, (one, other) in enumerate(pairs) if one != other)
        first_tree.extend(ours_hashed[:alike])
        self._pass(alike)
        self._end_range()
        return alike + self._tell_apart()

    def _pass(self, count: int) -> None:
        self.first.take(count)
        self.second.take(count)
        self.leaves += count

    def _tell_apart(self) -> int:
        """The next records differ: name how, and pass those that are not on both sides."""
        first, second = self.first, self.second
        ours, theirs = first.ahead(LOOK_AHEAD), second.ahead(LOOK_AHEAD)
        there = _index(theirs, ours[0])
        here = _index(ours, theirs[0])
        if there is not None and (here is None or there <= here):
            return self._alone(second, first, theirs[:there])
        if here is not None:
            return self._alone(first, second, ours[:here])
        one, other = position_of(ours[0]), position_of(theirs[0])
        if one == other:
            self._add(
                difference(BYTES, ours[0], self._descriptors(), first.found(0), second.found(0))
            )
            first.take(1)
            second.take(1)
            return 1
        if one < other:
            return self._alone(first, second, ours[:1])
        return self._alone(second, first, theirs[:1])

    def _alone(self, side: Side, other: Side, records: list[bytes]) -> int:
        """Name records that only one side has here, and pass them."""
        for index, record in enumerate(records):
            name = leaf_hash(record)
            known = self._lone.get(name)
            if known is not None and known[1] is other:  # the other side had it elsewhere
                at = known[0]
                if at < len(self.differences):
                    self.differences[at] = self._reordered(self.differences[at], side, index)
                continue
            if len(self._lone) < DIFFERENCES_MAX:
                self._lone[name] = (self.differences_total, side)
            kind = ONLY_FIRST if side is self.first else ONLY_SECOND
            places = (side.found(index), (other.found(0)[0], None))
            first, second = places if side is self.first else reversed(places)
            self._add(difference(kind, record, self._descriptors(), first, second))
        side.take(len(records))
        return max(1, len(records))

    def _reordered(self, known: Difference, side: Side, index: int) -> Difference:
        place, offset = side.found(index)
        if side is self.first:
            changes = {"first": place, "first_offset": offset}
        else:
            changes = {"second": place, "second_offset": offset}
        detail = "the two streams have this record at different places"
        return msgspec.structs.replace(known, kind=ORDER, detail=detail, **changes)

    def _wait_for(self, late: Side, side: Side, record: bytes) -> int:
        """One side has a record and the other none: missing, behind its end, or still to come."""
        assert late.mark is not None
        assert side.mark is not None
        if late.mark.timeline == side.mark.timeline and _lsn(record) < late.mark.end_lsn:
            self._end_range()
            return self._alone(side, late, [record])
        if late.over:
            self._begin_gap()
            return 1
        return 0

    def _end_range(self) -> None:
        """Close the range, if there is anything in it; the next one begins behind it."""
        current = self.current_range()
        if current.leaves:
            self.ranges = [*self.ranges, current][-RANGES_MAX:]
            self._range_begin = int.from_bytes(self.first.last[8:16])
        self._trees = (RangeTree(), RangeTree())

    # ------------------------------------------------------------------------------------- a gap

    def _begin_gap(self) -> None:
        self._end_range()
        sides = (self.first, self.second)
        ends = [side.mark.end_lsn for side in sides if side.over and side.mark]
        self._crossing = Crossing(*sides, begin_lsn=min(ends))
        for side in sides:
            if side.over and not side.ahead(1):
                self._crossing.leave(side)

    def _cross(self, crossing: Crossing, count: int) -> int:
        """Bring both sides to where both have the WAL again; then compare what they left."""
        done = crossing.step(count)
        if crossing.is_over:
            self._end_gap(crossing)
        return done

    def _end_gap(self, crossing: Crossing) -> None:
        if crossing.is_compared:
            for one, other in crossing.unlike():
                found = one or other
                assert found is not None
                places = [(each[1], each[2]) if each else ("", None) for each in (one, other)]
                self._add(difference(ROW, found[0], self._descriptors(), places[0], places[1]))
        begin, end = format_lsn(crossing.begin_lsn), format_lsn(crossing.end_lsn)
        gap = Gap(begin, end, *crossing.repaired, crossing.is_compared)
        self.gaps = [*self.gaps, gap][-RANGES_MAX:]
        self.gaps_total += 1
        self._crossing = None
        self._range_begin = crossing.end_lsn

    # --------------------------------------------------------------------------- what was found

    def _descriptors(self) -> dict[bytes, bytes]:
        return self.first.descriptors | self.second.descriptors

    def _add(self, found: Difference) -> None:
        self.differences_total += 1
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(found)

    def _damaged(self, error: Exception) -> Difference:
        """Name the place, if the error does."""
        if isinstance(error, KeyError):
            return Difference(kind=DAMAGE, detail="a record's table is not described")
        found = Difference(kind=DAMAGE, detail=str(error))
        if not isinstance(error, StreamCorruptError):
            return found
        place = f"{error.file}:{error.at}"
        if error.file.parent == self.second.tape.folder:
            return msgspec.structs.replace(found, second=place)
        return msgspec.structs.replace(found, first=place)


def _index(records: list[bytes], wanted: bytes) -> int | None:
    return next((index for index, one in enumerate(records) if one == wanted), None)


def _is_past(side: Side, other: Side) -> bool:
    """Whether a side, with no record ahead, has come to where the other's stretch is over."""
    assert side.mark is not None
    assert other.mark is not None
    return side.over or side.mark.end_lsn >= other.mark.end_lsn


def _lsn(record: bytes) -> int:
    return int.from_bytes(record[8:16])
