"""Places in the WAL as Postgres writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import PgoutputError
from ledger.relay.positions import format_lsn, parse_history, parse_lsn

HISTORY = """\
1\t0/3000148\tno recovery target specified

# a remark
2\t1/0\tbefore 2026-11-22 10:00:00+00
"""


@given(st.integers(0, 2**64 - 1))
def test_an_lsn_is_read_as_it_is_written(lsn: int) -> None:
    """Two hexadecimal numbers, and back."""
    assert parse_lsn(format_lsn(lsn)) == lsn


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "0/123456789", "0/x", "0/1 ", "-1/0"])
def test_what_is_no_lsn_is_refused(text: str) -> None:
    """Rather than read as another place."""
    with pytest.raises(PgoutputError, match="LSN"):
        parse_lsn(text)


def test_a_history_tells_where_each_ancestor_was_left() -> None:
    """Remarks and empty lines are skipped."""
    assert parse_history(HISTORY) == {1: 0x3000148, 2: 1 << 32}
    assert parse_history("") == {}
