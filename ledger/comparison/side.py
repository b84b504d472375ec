"""One of two streams, as the comparison sees it: stretches of the WAL with gaps between them.

Theory of operation
-------------------
A stream takes the WAL in without a gap from where its slot was made to where that slot is lost;
this is a *stretch*. A repair follows: records under the flag `repair` with the mark standing still,
and then a mark alone, where the next stretch begins (`ledger.relay.repair`). A stream begins the
same way. So frames tell it all:

- a batch of repaired records, a mark that goes back, another cluster or timeline: the stretch is
  over;
- the first batch after that without repaired records: a stretch begins at its mark, or, if it has
  records, where the mark stood: nothing lay between.

A repair that found nothing to append cannot be seen, and needs not be: if the WAL held something
all the same, the streams do differ. Of a restore it can be, by the timeline: a side that had come
just to where the ledger was set back to goes on, and the other may have more of what was lost.

A stream whose oldest segments were put away begins in the middle of a stretch; where exactly only
the mark of its first batch tells, so that batch is passed over.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from pathlib import Path

import msgspec
from attrs import define, field

from ledger.comparison.rows import Found, Rows
from ledger.comparison.tape import Piece, Place, Tape
from ledger.stream.errors import StreamCorruptError, StreamMissingError
from ledger.stream.record import REPAIR, Mark, descriptor_id

_FLAGS_AT = 2  # of a record


class SidePosition(msgspec.Struct, frozen=True):
    """Where a side stands in a stretch, to go on from there in another process.

    Attributes:
        place: of the frame with the next record.
        offset: of that frame's first record.
        skip: records of it that were passed.
        mark: of the batch before that frame.
        created_at_us: of its segment: whether it is still the same stream.
    """

    place: Place
    offset: int
    skip: int
    mark: Mark
    created_at_us: int


@define
class Side:
    """One stream.

    Attributes:
        name: `first` or `second`.
        tape: reads it.
        mark: of the newest batch that was read in this stretch; None before the first stretch.
        begin_lsn: where the stretch begins.
        in_gap: no stretch has begun, or the last one is over and passed.
        over: the stretch is over, and its records may still be ahead.
        descriptors: relation messages so far, by id.
    """

    name: str
    tape: Tape
    mark: Mark | None = None
    begin_lsn: int = 0
    in_gap: bool = True
    over: bool = False
    descriptors: dict[bytes, bytes] = field(factory=dict)
    last: bytes = b""  # the record that was passed last
    passed: int = 0  # records, so far
    waiting: int = 0  # records of this stretch that were read and not passed
    _pieces: deque[Piece] = field(factory=deque)  # of this stretch, with records not passed
    _skip: int = 0  # records of the first of them that were passed
    _held: Piece | None = None  # the batch that ended the stretch
    _looked: bool = False  # at the stream's first batch, or the first that a stretch can begin with
    _mark_passed: Mark | None = None  # of the newest batch that was passed as a whole

    # ------------------------------------------------------------------------------- a stretch

    def ahead(self, count: int) -> list[bytes]:
        """The next records of this stretch, as many as there are, up to `count`.

        Raises:
            StreamError, OSError: see `Tape.read`.
        """
        while self.waiting < count and self._load():
            pass
        found: list[bytes] = []
        for piece in self._pieces:
            skip = 0 if found else self._skip
            found += piece.records[skip : skip + count - len(found)]
            if len(found) >= count:
                break
        return found

    def _load(self) -> bool:
        """Read one batch; False where none is there, or the stretch is over."""
        if self.over or self.in_gap:
            return False
        try:
            piece = self._next()
        except (StreamCorruptError, StreamMissingError):
            if self.waiting:  # what lies before the damage comes first; it is met again
                return False
            raise
        if piece is None:
            return False
        if self._ends_stretch(piece):
            self._held, self.over = piece, True
            return False
        self._append(piece)
        return True

    def _append(self, piece: Piece) -> None:
        self.mark = piece.mark
        if piece.records:
            self._pieces.append(piece)
            self.waiting += len(piece.records)
        elif not self._pieces:
            self._mark_passed = piece.mark

    def _ends_stretch(self, piece: Piece) -> bool:
        before, mark = self.mark, piece.mark
        assert before is not None
        return (
            _is_repair(piece)
            or mark.end_lsn < before.end_lsn
            or (mark.system_identifier, mark.timeline)
            != (before.system_identifier, before.timeline)
        )

    def take(self, count: int) -> None:
        """Pass records that `ahead` has shown."""
        self.waiting -= count
        self.passed += count
        while count:
            piece = self._pieces[0]
            step = min(count, len(piece.records) - self._skip)
            self._skip += step
            count -= step
            self.last = piece.records[self._skip - 1]
            if self._skip == len(piece.records):
                self._pieces.popleft()
                self._skip, self._mark_passed = 0, piece.mark
        if not self._pieces:
            self._mark_passed = self.mark

    def found(self, index: int) -> tuple[str, int | None]:
        """File and byte, and offset, of a record that `ahead` has shown; of what comes behind."""
        index += self._skip
        for piece in self._pieces:
            if index < len(piece.records):
                return piece.where(index), piece.first_offset + index
            index -= len(piece.records)
        place = self.tape.place
        return ("", None) if place is None else (self.tape.describe(place), self.tape.next_offset)

    def waits(self) -> bool:
        """Whether there is anything that was not passed; read or not."""
        return self.waiting > 0 or self._held is not None or self.tape.is_behind()

    # ----------------------------------------------------------------------------------- a gap

    def collect(self, rows: Rows, below_lsn: int | None, count: int) -> int:
        """Take records of this stretch into rows, those committed below a place in the WAL.

        Args:
            rows: where to.
            below_lsn: None takes all.
            count: at most so many.

        Returns:
            How many there were.
        """
        taken = 0
        while taken < count:
            records = self.ahead(1_024)[: count - taken]
            if below_lsn is not None:
                ends = (i for i, one in enumerate(records) if _lsn(one) >= below_lsn)
                records = records[: next(ends, len(records))]
            for index, record in enumerate(records):
                rows.take(record, self.descriptors, partial(self._row, index, record))
            if not records:
                break
            self.take(len(records))
            taken += len(records)
        return taken

    def _row(self, index: int, record: bytes) -> Found:
        where, offset = self.found(index)
        assert offset is not None
        return record, where, offset

    def enter_gap(self) -> int:
        """Leave a stretch that is over, all its records passed; the offset behind it."""
        assert self._held is not None
        self.in_gap, self.over = True, False
        return self._held.first_offset

    def pass_gap(self, rows: Rows, count: int) -> int:
        """Take repaired records into rows until a stretch begins; returns how many."""
        taken = 0
        while self.in_gap and taken < count:
            piece = self._held or self._next()
            if piece is None:
                break
            self._held = piece  # met again if one of its records cannot be read
            starts_late = not self._looked and bool(piece.first_offset)
            self._looked = self._looked or not starts_late
            if starts_late:
                rows.give_up()
                if not piece.records or piece.mark.end_lsn > _lsn(piece.records[-1]):
                    self._looked = True
                    self._begin(piece.mark)  # else a transaction goes on behind it
            elif _is_repair(piece) or not piece.mark.end_lsn:
                for index, record in enumerate(piece.records):
                    rows.take(record, self.descriptors, partial(_row_of, piece, index))
                rows.repaired += len(piece.records)
                taken += len(piece.records)
                self.passed += len(piece.records)
            elif piece.records:
                first = msgspec.structs.replace(piece.mark, end_lsn=_lsn(piece.records[0]))
                self._begin(self.mark or first)
                self._append(piece)
            else:
                self._begin(piece.mark)
            self._held = None
        return taken

    def _begin(self, mark: Mark) -> None:
        self.in_gap = False
        self.mark = self._mark_passed = mark
        self.begin_lsn = mark.end_lsn

    # -------------------------------------------------------------------------------- position

    def _next(self) -> Piece | None:
        piece = self.tape.read()
        if piece is not None:
            self.descriptors.update((descriptor_id(one), one) for one in piece.descriptors)
        return piece

    def position(self) -> SidePosition | None:
        """Where it stands; None outside a stretch."""
        piece = self._pieces[0] if self._pieces else self._held
        place = piece.place if piece else self.tape.place
        if self.in_gap or place is None or self._mark_passed is None:
            return None
        created_at_us = self.tape.created_at_us(place.segment)
        if created_at_us is None:  # the next segment, which is not there yet
            return None
        offset = piece.first_offset if piece else self.tape.next_offset
        return SidePosition(place, offset, self._skip, self._mark_passed, created_at_us)


def side_at(name: str, folder: Path, shard: int, position: SidePosition | None) -> Side | None:
    """A side at a position, or at the beginning; None where its stream is another one now."""
    if position is None:
        return Side(name, Tape(folder, shard))
    tape = Tape(folder, shard, position.place, position.offset)
    if tape.created_at_us(position.place.segment) != position.created_at_us:
        return None
    side = Side(name, tape, mark=position.mark, begin_lsn=position.mark.end_lsn, in_gap=False)
    side.descriptors |= _descriptors_before(folder, shard, position.place)
    side._mark_passed = position.mark  # noqa: SLF001  made here
    if position.skip:
        side.ahead(position.skip)
        side.take(position.skip)
    return side


def _descriptors_before(folder: Path, shard: int, place: Place) -> dict[bytes, bytes]:
    """Relation messages that stand in a segment before a place."""
    found: dict[bytes, bytes] = {}
    tape = Tape(folder, shard, Place(place.segment))
    try:
        while (piece := tape.read()) is not None and piece.place < place:
            found.update((descriptor_id(one), one) for one in piece.descriptors)
    finally:
        tape.close()
    return found


def _is_repair(piece: Piece) -> bool:
    """Whether a repair wrote it: nothing else puts the flag on all of a batch."""
    return bool(piece.records) and all(record[_FLAGS_AT] & REPAIR for record in piece.records)


def _row_of(piece: Piece, index: int) -> Found:
    return piece.records[index], piece.where(index), piece.first_offset + index


def _lsn(record: bytes) -> int:
    return int.from_bytes(record[8:16])
