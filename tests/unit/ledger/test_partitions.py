"""A month of the payment tables: its name, and the ids that were issued in it."""

from __future__ import annotations

import pytest

from ledger.ids import lowest_id_at
from ledger.partitions import Month

FEBRUARY_US = 1_706_745_600_000_000  # 2024-02-01T00:00:00Z
MARCH_US = 1_709_251_200_000_000


def test_a_month_holds_the_ids_that_were_issued_in_it() -> None:
    """From its first millisecond to the one before the next month's."""
    month = Month.of("2024_02")
    assert (month.first_id, month.end_id) == (lowest_id_at(FEBRUARY_US), lowest_id_at(MARCH_US))
    assert month.end_us == MARCH_US
    assert month.holds(lowest_id_at(FEBRUARY_US))
    assert month.holds(lowest_id_at(MARCH_US - 1_000))
    assert not month.holds(lowest_id_at(MARCH_US))
    assert not month.holds(lowest_id_at(FEBRUARY_US - 1_000))
    assert month.leaf("outcomes") == "outcomes_2024_02"


def test_december_ends_with_the_year() -> None:
    """The month behind it is January of the next."""
    assert Month.of("2023_12").end_id == Month.of("2024_01").first_id


@pytest.mark.parametrize("label", ["", "2024", "2024_13", "2024_00", "2024-02", "2024_02; DROP"])
def test_what_is_no_month_is_refused(label: str) -> None:
    """A label becomes part of a table's name: nothing else passes."""
    with pytest.raises(ValueError, match="is no month"):
        Month.of(label)
