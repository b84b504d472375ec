"""Store-and-forward: advices that are repeated until the network has acknowledged them.

A row of the queue is inserted by the commit that decides on its message and deleted by the commit
that records its acknowledgment; in between nothing makes it go away (money.md I5). Sends are
counted, durably, before the message leaves, so that a silent or crashing peer gets the repeat's
MTI.

An advice that a network rejects for technical reasons waits for an operator (`manual`). Operators
change no payment: what they found out is noted in the row, and the switch that owns it acts on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from ledger.deciding.records import SafRow
from ledger.exceptions import ExceptionRow, exceptions_about
from ledger.leases import LeaseLostError
from ledger.lifecycle import SAF_RESOLUTIONS
from ledger.operators import OperatorAction, OperatorError, check_answer, check_texts
from ledger.pgtypes import (
    bool_,
    int4_,
    int8_,
    text_,
    text_array,
    timestamptz_,
    timestamptz_array,
    uuid_,
    uuid_array,
)
from ledger.statements import QUERIES, Runner

_DUE: Final = QUERIES["due_saf"]
_HOLD_LEASE: Final = QUERIES["hold_lease"]
_COUNT_SENDS: Final = QUERIES["count_saf_sends"]
_COUNT: Final = QUERIES["count_saf"]
_LIST: Final = QUERIES["list_saf"]
_SHOW: Final = QUERIES["show_saf"]
_ACTIONS: Final = QUERIES["read_operator_actions"]
_RETRY: Final = QUERIES["retry_saf"]
_RESOLVE: Final = QUERIES["resolve_saf"]


class SafCount(Struct, frozen=True):
    """How many advices wait, of one network and kind."""

    network: str
    kind: str
    waiting: int
    manual: int
    oldest_at_us: int


class SafEntry(Struct, frozen=True):
    """One advice with its message's numbers."""

    row: SafRow
    mti: str  # of the first sending
    acquirer_id: str
    stan: str
    rrn: str
    de7: str
    amount_minor: int
    currency: str


class SafDetail(Struct, frozen=True):
    """One advice, and what was done about it, oldest first."""

    entry: SafEntry
    actions: list[OperatorAction]
    exceptions: list[ExceptionRow]


async def due_saf(
    runner: Runner, owner: str, *, now_us: int, limit: int, networks: Sequence[str]
) -> list[SafRow]:
    """The advices that an owner shall send now, or act on because an operator resolved them.

    Soonest due first, at most one of an intent, and to be sent only those of these networks: what
    waits for another one does not keep them waiting. Sending one takes `count_saf_sends` first.
    """
    params = [text_(owner), timestamptz_(now_us), int8_(limit), text_array(networks)]
    result = await runner.run(_DUE, params)
    return [SafRow(*row) for row in result.rows()]


async def count_saf_sends(
    runner: Runner, owner: str, epoch: int, sends: Sequence[tuple[bytes, int]]
) -> dict[bytes, int]:
    """Count a send of each advice, (attempt id, due again at) each, before any of them leaves.

    Gives, by attempt id, how often each was sent with this time. An advice that is not in the
    answer must not leave: it was acknowledged or went to an operator meanwhile.

    Raises:
        LeaseLostError: another process has taken the switch over; nothing was counted.
        DatabaseError: or one of its children; a `ConnectionLostError` may have counted.
    """
    if not sends:
        return {}
    attempt_ids, due_at = zip(*sends, strict=True)
    head = [text_(owner), int4_(epoch)]
    lease, counted = await runner.pipeline(
        [
            (_HOLD_LEASE, head),
            (_COUNT_SENDS, [*head, uuid_array(attempt_ids), timestamptz_array(due_at)]),
        ]
    )
    if not lease.row_count:
        raise LeaseLostError
    return dict(counted.rows())


async def count_saf(runner: Runner) -> list[SafCount]:
    """The depth of the queue, for metrics."""
    return [SafCount(*row) for row in (await runner.run(_COUNT)).rows()]


async def saf_list(
    runner: Runner, *, manual_only: bool = False, above: bytes = bytes(16), limit: int = 100
) -> list[SafEntry]:
    """A page of the queue, oldest first; a short page is the last. Roles: reader, admin, switch."""
    result = await runner.run(_LIST, [uuid_(above), bool_(manual_only), int8_(limit)])
    return [_entry(row) for row in result.rows()]


async def saf_show(runner: Runner, attempt_id: bytes) -> SafDetail | None:
    """One advice in detail, None if no such is waiting. Role: turnout_admin."""
    shown, actions = await runner.pipeline(
        [(_SHOW, [uuid_(attempt_id)]), (_ACTIONS, [uuid_(attempt_id)])]
    )
    for row in shown.rows():
        history = [OperatorAction(*action) for action in actions.rows()]
        return SafDetail(_entry(row), history, await exceptions_about(runner, attempt_id))
    return None


async def saf_retry(runner: Runner, attempt_id: bytes, *, operator: str, note: str = "") -> None:
    """Have an advice sent at once, from the manual queue too; audited. Role: turnout_admin.

    Raises:
        OperatorError: no such advice is waiting, or the texts are too long.
    """
    check_texts(operator, note)
    answer = await runner.run(_RETRY, [uuid_(attempt_id), text_(operator), text_(note)])
    check_answer(answer.column(0)[0])


async def saf_resolve(
    runner: Runner, attempt_id: bytes, resolution: str, *, operator: str, note: str = ""
) -> None:
    """Say what became of an advice in the manual queue; audited. Role: turnout_admin.

    The switch that owns the row finds it due with `resolution` and `resolved_by` set, and decides
    as it would on the network's own word, the actor being `operator:<name>`.

    Args:
        runner: as the administrator.
        attempt_id: of the advice.
        resolution: `acknowledged` (the network holds it as done) or `refused` (it never will).
        operator: who says so.
        note: why.

    Raises:
        OperatorError: no such advice waits for an operator, a reversal was to be refused, or the
            words are not ours.
    """
    check_texts(operator, note)
    if resolution not in SAF_RESOLUTIONS:
        raise OperatorError(f"a resolution is one of {', '.join(SAF_RESOLUTIONS)}")
    answer = await runner.run(
        _RESOLVE, [uuid_(attempt_id), text_(resolution), text_(operator), text_(note)]
    )
    check_answer(answer.column(0)[0])


def _entry(row: tuple[Any, ...]) -> SafEntry:
    fields = len(SafRow.__struct_fields__)
    return SafEntry(SafRow(*row[:fields]), *row[fields:])
