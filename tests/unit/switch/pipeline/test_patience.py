"""What must be known is asked for again; faults of ours are not waited out."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from ledger.errors import (
    ConnectionLostError,
    DatabaseError,
    LedgerError,
    PoolOverloadError,
    RetryableError,
)
from switch.pipeline.patience import LOOK_AGAIN_S, patiently


class Ledger:
    """Raises its errors one after the other, then answers."""

    def __init__(self, *errors: LedgerError) -> None:
        self.errors = list(errors)

    async def ask(self) -> str:
        """Answer or raise."""
        await trio.lowlevel.checkpoint()
        if self.errors:
            raise self.errors.pop(0)
        return "known"


@pytest.mark.parametrize(
    "error",
    [
        ConnectionLostError("gone"),
        RetryableError("starting up", sqlstate="57P03"),
        PoolOverloadError("full"),
    ],
)
async def test_a_ledger_that_is_away_is_waited_for(
    error: LedgerError, autojump_clock: trio.testing.MockClock
) -> None:
    """Five times away is five pauses."""
    began = trio.current_time()
    assert await patiently(Ledger(*[error] * 5).ask) == "known"
    assert trio.current_time() - began == pytest.approx(5 * LOOK_AGAIN_S)


async def test_a_fault_of_ours_is_raised_at_once() -> None:
    """A missing privilege does not mend itself."""
    with pytest.raises(DatabaseError, match="denied"):
        await patiently(Ledger(DatabaseError("denied", sqlstate="42501")).ask)
