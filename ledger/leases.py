"""Whose switch it is: one row per switch, with an epoch that only grows.

Theory of operation. A switch owns its attempts. Every commit checks (switch, epoch) under FOR KEY
SHARE in its own statement. Whoever begins an epoch first takes the row FOR UPDATE, which waits for
those commits; a plain update of the epoch would pass them. From then on nothing commits under an
older epoch, whatever its process believes.

A living switch renews its lease every few seconds: an update that passes the commits. A lease that
stands still for long enough may be taken over by another switch, which begins an epoch in the dead
one's name. `raise_epoch_of_silent` lets it do so only if the row is as it was read, so of two that
try one succeeds, and none if the dead one lives after all. How long is long enough is not decided
here, and not by the time in `expires_at`, which is for people: the database's clock may step.

`recover_from` says from where on attempts must be looked at after a death. It moves with the
heartbeats, so that recovery reads seconds of attempts instead of years.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from ledger.errors import LedgerError
from ledger.pgtypes import (
    int4_,
    int4_array,
    int8_,
    text_,
    text_array,
    timestamptz_,
    uuid_,
    uuid_array,
)
from ledger.rows import LeaseRow
from ledger.statements import QUERIES, Runner

_KNOW: Final = QUERIES["know_switch"]
_LOCK: Final = QUERIES["lock_lease"]
_RAISE: Final = QUERIES["raise_epoch"]
_RAISE_OF_SILENT: Final = QUERIES["raise_epoch_of_silent"]
_RENEW: Final = QUERIES["renew_leases"]
_READ: Final = QUERIES["read_leases"]
_RECOVERED: Final = QUERIES["note_recovered"]
_LOWEST_OPEN: Final = QUERIES["lowest_open"]


class LeaseLostError(LedgerError):
    """A newer epoch of this switch exists: this process must commit and send nothing more."""

    def __init__(self, message: str = "the switch's lease has a newer epoch") -> None:
        super().__init__(message)


@attrs.frozen
class Lease:
    """What a process holds of a switch, from the start of an epoch on.

    Attributes:
        switch: Its name, the owner of its attempts.
        epoch: Higher than any before.
        recover_from: No attempt of the switch below this id is without an outcome.
    """

    switch: str
    epoch: int
    recover_from: bytes


async def begin_epoch(runner: Runner, switch: str, *, ttl_s: float) -> Lease:
    """Take the switch's lease for this process; older epochs can commit nothing from now on.

    Raises:
        RetryableError: a commit of the epoch before holds the row for longer than `lock_timeout`.
    """
    name = text_(switch)
    *_, raised = await runner.pipeline(
        [(_KNOW, [name]), (_LOCK, [name]), (_RAISE, [name, _milliseconds(ttl_s)])]
    )
    [(epoch, recover_from)] = raised.rows()
    return Lease(switch, epoch, recover_from)


async def take_over(runner: Runner, silent: LeaseRow, *, ttl_s: float) -> Lease | None:
    """Begin an epoch in the name of a switch that is gone; None if its lease has changed since.

    Raises:
        RetryableError: a commit of that switch holds the row for longer than `lock_timeout`.
    """
    name = text_(silent.switch)
    as_read = [int4_(silent.epoch), timestamptz_(silent.expires_at_us)]
    *_, raised = await runner.pipeline(
        [(_LOCK, [name]), (_RAISE_OF_SILENT, [name, _milliseconds(ttl_s), *as_read])]
    )
    for epoch, recover_from in raised.rows():
        return Lease(silent.switch, epoch, recover_from)
    return None


async def renew_leases(
    runner: Runner, held: Sequence[Lease], *, ttl_s: float
) -> tuple[set[str], list[LeaseRow]]:
    """Send a heartbeat for every lease that this process holds.

    Args:
        runner: of role turnout_switch.
        held: the leases; `recover_from` moves the ledger's up, never down.
        ttl_s: how long they live from now on.

    Returns:
        The switches whose leases were renewed, the others having a newer epoch; and every lease
        there is, read in the same transaction.
    """
    renewal = [
        _milliseconds(ttl_s),
        text_array([lease.switch for lease in held]),
        int4_array([lease.epoch for lease in held]),
        uuid_array([lease.recover_from for lease in held]),
    ]
    renewed, found = await runner.pipeline([(_RENEW, renewal), (_READ, [])])
    return {switch for (switch,) in renewed.rows()}, [LeaseRow(*row) for row in found.rows()]


async def note_recovered(runner: Runner, lease: Lease, below: bytes) -> None:
    """Spare the next start the attempts below this id: each of them has an outcome.

    Raises:
        LeaseLostError: the lease has a newer epoch.
    """
    if below <= lease.recover_from:
        return
    result = await runner.run(_RECOVERED, [text_(lease.switch), int4_(lease.epoch), uuid_(below)])
    if result.row_count == 0:
        raise LeaseLostError


async def lowest_open(
    runner: Runner, switch: str, *, from_id: bytes, up_to: bytes, rows_max: int
) -> bytes:
    """The id below which no attempt of a switch is without an outcome; store-and-forward aside.

    1.3 µs of Postgres an attempt, and each is looked at once: the next search starts where this
    one ended.

    Args:
        runner: of role turnout_switch.
        switch: the owner.
        from_id: where the search starts: an earlier answer.
        up_to: where it ends. Attempts below must be committed, or they are overlooked.
        rows_max: how many attempts to look at; the answer then lies below `up_to`.
    """
    params = [text_(switch), uuid_(from_id), uuid_(up_to), int8_(rows_max)]
    [(lowest,)] = (await runner.run(_LOWEST_OPEN, params)).rows()
    return bytes(lowest)


def _milliseconds(ttl_s: float) -> bytes:
    return int4_(round(ttl_s * 1_000))
