"""Exceptions: what a person has to look into. They are opened beside the payments; nothing stops.

An approval that nothing explains, a second answer that contradicts the first, totals out of
balance: each is one row with the numbers it takes to look into it, never card data. One of the
same kind about the same attempt is opened once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from ledger.deciding.records import NewException
from ledger.operators import OperatorAction, check_answer, check_texts
from ledger.pgtypes import bool_, int8_, text_, text_array, uuid_, uuid_array
from ledger.statements import QUERIES, Runner

_OPEN: Final = QUERIES["open_exceptions"]
_LIST: Final = QUERIES["list_exceptions"]
_READ: Final = QUERIES["read_exception"]
_MESSAGE: Final = QUERIES["exception_message"]
_ADVICES: Final = QUERIES["exception_advices"]
_ACTIONS: Final = QUERIES["exception_actions"]
_ABOUT: Final = QUERIES["exceptions_about"]
_COUNT: Final = QUERIES["count_exceptions"]
_CLOSE: Final = QUERIES["close_exception"]
_decode_detail: Final = msgspec.json.Decoder(dict[str, str | int]).decode


class ExceptionRow(Struct, frozen=True):
    """An exception as it stands."""

    number: int
    kind: str
    network: str
    intent_id: bytes | None
    transaction_id: bytes | None
    attempt_id: bytes | None
    detail: dict[str, str | int]
    opened_at_us: int
    closed_at_us: int | None
    closed_by: str | None
    note: str


class ExceptionMessage(Struct, frozen=True):
    """The message that an exception is about: the numbers to ask its network by."""

    kind: str  # of the attempt
    mti: str
    acquirer_id: str
    stan: str
    rrn: str
    de7: str
    amount_minor: int
    currency: str


class ExceptionAdvice(Struct, frozen=True):
    """An advice of the same payment that its network has not acknowledged."""

    attempt_id: bytes
    kind: str
    repeats: int
    manual: bool
    resolution: str


class ExceptionDetail(Struct, frozen=True):
    """An exception with what helps to look into it; lists are oldest first."""

    row: ExceptionRow
    message: ExceptionMessage | None  # None where the ledger knows of none, as of stray approvals
    advices: list[ExceptionAdvice]
    actions: list[OperatorAction]


async def open_exceptions(runner: Runner, batch: Sequence[NewException]) -> None:
    """Open exceptions that belong to no decision; those of one are part of its plan.

    Role: turnout_switch.

    Raises:
        RowError: a kind that is no snake_case word, or a detail over 4 kB; none was opened.
        DatabaseError: or one of its children.
    """
    if not batch:
        return
    params = [
        text_array([new.kind for new in batch]),
        text_array([new.network for new in batch]),
        uuid_array([new.intent_id for new in batch]),
        uuid_array([new.transaction_id for new in batch]),
        uuid_array([new.attempt_id for new in batch]),
        text_array([msgspec.json.encode(new.detail).decode() for new in batch]),
    ]
    await runner.run(_OPEN, params)


async def list_exceptions(
    runner: Runner, *, closed_too: bool = False, kind: str = "", above: int = 0, limit: int = 100
) -> list[ExceptionRow]:
    """A page of exceptions, oldest first; a short page is the last. Roles: reader, admin."""
    params = [int8_(above), bool_(closed_too), int8_(limit), text_(kind)]
    result = await runner.run(_LIST, params)
    return [_exception(row) for row in result.rows()]


async def show_exception(runner: Runner, number: int) -> ExceptionDetail | None:
    """One exception in detail, None if there is none of this number. Role: turnout_admin."""
    found, messages, advices, actions = await runner.pipeline(
        [(query, [int8_(number)]) for query in (_READ, _MESSAGE, _ADVICES, _ACTIONS)]
    )
    for row in found.rows():
        return ExceptionDetail(
            _exception(row),
            next((ExceptionMessage(*message) for message in messages.rows()), None),
            [ExceptionAdvice(*advice) for advice in advices.rows()],
            [OperatorAction(*action) for action in actions.rows()],
        )
    return None


async def exceptions_about(runner: Runner, attempt_id: bytes) -> list[ExceptionRow]:
    """What was opened about one attempt, oldest first, closed ones too. Roles: reader, admin."""
    return [_exception(row) for row in (await runner.run(_ABOUT, [uuid_(attempt_id)])).rows()]


async def count_exceptions(runner: Runner) -> dict[str, int]:
    """How many are open, by kind; for metrics."""
    return dict((await runner.run(_COUNT)).rows())


async def close_exception(runner: Runner, number: int, *, operator: str, note: str = "") -> None:
    """Close an exception that was looked into; audited. Role: turnout_admin.

    Raises:
        OperatorError: no such exception is open, or the texts are too long.
    """
    check_texts(operator, note)
    answer = await runner.run(_CLOSE, [int8_(number), text_(operator), text_(note)])
    check_answer(answer.column(0)[0])


def _exception(row: tuple[Any, ...]) -> ExceptionRow:
    fields = dict(zip(ExceptionRow.__struct_fields__, row, strict=True))
    return ExceptionRow(**fields | {"detail": _decode_detail(fields["detail"])})
