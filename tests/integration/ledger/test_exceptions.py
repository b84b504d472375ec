"""Exceptions: what a person has to look into, opened, listed and closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from ledger.deciding.records import NewException
from ledger.errors import RowError
from ledger.exceptions import (
    close_exception,
    count_exceptions,
    list_exceptions,
    open_exceptions,
)
from ledger.operators import OperatorError
from tests.support.ledger import IDS

if TYPE_CHECKING:
    from ledger.connection import Connection
    from tests.support.ledger import LedgerHarness


async def test_exceptions_are_opened_listed_and_closed(
    ledger: LedgerHarness, admin: Connection, switch: Connection
) -> None:
    """Each with what it takes to look into it; closing is written down, once."""
    await ledger.rows("DELETE FROM exceptions RETURNING 1")
    found = [
        NewException("totals_differ", "vsim", detail={"settles_on": "2026-11-23", "ours": 5}),
        NewException("approval_without_attempt", "msim", detail={"rrn": "0ABC"}),
    ]
    await open_exceptions(switch, found)
    await open_exceptions(switch, [])
    first, second = await list_exceptions(admin)
    assert (first.kind, first.network, first.detail) == (
        "totals_differ",
        "vsim",
        {"settles_on": "2026-11-23", "ours": 5},
    )
    assert (first.closed_at_us, first.closed_by, first.note) == (None, None, "")
    assert await list_exceptions(admin, limit=1) == [first]
    await close_exception(admin, first.number, operator="ada", note="fees")
    assert await list_exceptions(admin) == [second]
    closed, _ = await list_exceptions(admin, closed_too=True)
    assert (closed.closed_by, closed.note) == ("ada", "fees")
    assert closed.closed_at_us is not None
    with pytest.raises(OperatorError, match="no such exception is open"):
        await close_exception(admin, first.number, operator="bob")
    assert await list_exceptions(admin, above=first.number) == [second]
    assert await count_exceptions(admin) == {"approval_without_attempt": 1}
    actions = await ledger.rows(
        "SELECT operator, action, note FROM operator_actions WHERE exception = $1::bigint",
        first.number.to_bytes(8),
    )
    assert actions == [("ada", "exception_close", "fees")]


@pytest.mark.parametrize(
    "bad", [{"kind": "Not A Word"}, {"detail": {"text": "x" * 5_000}}, {"kind": "a" * 65}]
)
async def test_an_exception_that_is_none_is_refused(
    ledger: LedgerHarness, switch: Connection, bad: dict[str, Any]
) -> None:
    """Kinds are words, details are short; nothing of the batch is opened."""
    good = NewException("odd", "vsim", attempt_id=IDS.next())
    with pytest.raises(RowError):
        await open_exceptions(switch, [good, replace(good, **bad)])
    assert not await ledger.rows(
        "SELECT 1 FROM exceptions WHERE attempt_id = $1::uuid", good.attempt_id or b""
    )
