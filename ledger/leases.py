"""Whose switch it is: one row per switch, with an epoch that only grows.

Every commit checks (switch, epoch) under FOR KEY SHARE in its own statement. Whoever begins an
epoch first takes the row FOR UPDATE, which waits for those commits; a plain update of the epoch
would pass them.
"""

from __future__ import annotations

from typing import Final

import attrs

from ledger.errors import LedgerError
from ledger.pgtypes import int4_, text_, uuid_
from ledger.statements import QUERIES, Runner

_KNOW: Final = QUERIES["know_switch"]
_LOCK: Final = QUERIES["lock_lease"]
_RAISE: Final = QUERIES["raise_epoch"]
_RECOVERED: Final = QUERIES["note_recovered"]


class LeaseLostError(LedgerError):
    """A newer epoch of this switch exists: this process must commit and send nothing more."""


@attrs.frozen
class Lease:
    """What a switch holds from its start on.

    Attributes:
        switch: Its name, the owner of its attempts.
        epoch: Higher than any before.
        recover_from: No attempt of the switch below this id is without an outcome.
    """

    switch: str
    epoch: int
    recover_from: bytes


async def begin_epoch(runner: Runner, switch: str, *, ttl_s: int) -> Lease:
    """Take the switch's lease for this process; older epochs can commit nothing from now on.

    Raises:
        RetryableError: a commit of the epoch before holds the row for longer than `lock_timeout`.
    """
    name = text_(switch)
    *_, raised = await runner.pipeline(
        [(_KNOW, [name]), (_LOCK, [name]), (_RAISE, [name, int4_(ttl_s)])]
    )
    [(epoch, recover_from)] = raised.rows()
    return Lease(switch, epoch, recover_from)


async def note_recovered(runner: Runner, lease: Lease, below: bytes) -> None:
    """Spare the next start the attempts below this id: each of them has an outcome.

    Raises:
        LeaseLostError: the lease has a newer epoch.
    """
    if below <= lease.recover_from:
        return
    result = await runner.run(_RECOVERED, [text_(lease.switch), int4_(lease.epoch), uuid_(below)])
    if result.row_count == 0:
        raise LeaseLostError("the switch's lease has a newer epoch")
