"""What the request bodies of all routes have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from api.errors import FieldProblem, Problem, ProblemError
from ledger.money import AMOUNT_MINOR_MAX, AMOUNT_MINOR_MIN


class Body(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Base of request bodies: camelCase members, strangers refused."""


def documented(**schema: Any) -> Meta:
    """Bounds for the OpenAPI document; they are checked by hand, with codes of their own."""
    return Meta(extra_json_schema=schema)


Amount = Annotated[int, documented(minimum=AMOUNT_MINOR_MIN, maximum=AMOUNT_MINOR_MAX)]


def amount_faults(amount_minor: int) -> list[FieldProblem]:
    """The fault of an `amountInCents` that no payment can have, or nothing."""
    if AMOUNT_MINOR_MIN <= amount_minor <= AMOUNT_MINOR_MAX:
        return []
    rule = f"must be an integer from {AMOUNT_MINOR_MIN} to {AMOUNT_MINOR_MAX}"
    return [FieldProblem("/amountInCents", "amount_out_of_range", rule)]


def refuse_faults(faults: Sequence[FieldProblem]) -> None:
    """Raise a ProblemError for all of them, if there are any; the first one's code stands."""
    if faults:
        raise ProblemError(Problem(faults[0].code, faults[0].detail, tuple(faults)))


def refusal(pointer: str, code: str, detail: str) -> ProblemError:
    """A body with a single fault."""
    return ProblemError(Problem(code, detail, (FieldProblem(pointer, code, detail),)))
