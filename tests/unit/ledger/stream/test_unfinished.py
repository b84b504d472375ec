"""Attempts followed as they go by: when they are late, and records that are not as they should."""

from __future__ import annotations

import pytest

from benchmarks.stream import DESCRIPTOR, attempt_record
from ledger.pgtypes import POSTGRES_EPOCH_US
from ledger.stream.errors import RecordError
from ledger.stream.record import HEAD_BYTES, descriptor_id
from ledger.stream.unfinished import OpenAttempts

DESCRIPTORS = {descriptor_id(DESCRIPTOR): DESCRIPTOR}
GRACE_US = 1_000
CELLS_AT = HEAD_BYTES + 8
ID_CELL_AT = CELLS_AT + 21  # behind the intent's id
DEADLINE_CELL_AT = CELLS_AT + 3 * 21 + 2 * 13  # behind three ids, the amount and the creation


def _followed(*numbers: int) -> OpenAttempts:
    """Attempts whose deadlines are so many microseconds after 2000."""
    attempts = OpenAttempts(grace_us=GRACE_US, open_max=100)
    attempts.take([(0, number, attempt_record(number)) for number in numbers], DESCRIPTORS)
    return attempts


def test_an_attempt_is_late_once_its_grace_is_over() -> None:
    """Not a microsecond earlier, and until it is forgotten."""
    attempts = _followed(5, 9)
    assert attempts.newest_us == 9
    due_us = POSTGRES_EPOCH_US + 5 + GRACE_US
    assert attempts.overdue(due_us - 1) == []
    for _ in range(2):
        [late] = attempts.overdue(due_us)
        assert (late.offset, late.due_us, late.network) == (5, due_us, "vsim")
    attempts.forget(late.attempt_id)
    assert attempts.overdue(due_us) == []
    assert attempts.floor(100) == 9


@pytest.mark.parametrize("place", [0, 4])
def test_an_id_that_is_not_at_its_place_is_refused(place: int) -> None:
    """Neither another format nor another length is read as an id."""
    record = bytearray(attempt_record(1))
    record[ID_CELL_AT + place] ^= 1
    attempts = OpenAttempts(grace_us=GRACE_US, open_max=100)
    with pytest.raises(RecordError, match="attempts id"):
        attempts.take([(0, 0, bytes(record))], DESCRIPTORS)


@pytest.mark.parametrize("place", [0, 4])
def test_a_deadline_that_is_not_at_its_place_is_refused(place: int) -> None:
    """It is looked at when somebody asks who is late."""
    record = bytearray(attempt_record(1))
    record[DEADLINE_CELL_AT + place] ^= 1
    attempts = OpenAttempts(grace_us=GRACE_US, open_max=100)
    attempts.take([(0, 0, bytes(record))], DESCRIPTORS)
    with pytest.raises(RecordError, match=r"attempts\.deadline_at"):
        attempts.overdue(0)
