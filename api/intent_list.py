"""What `GET /payment-intents` can be asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, Struct

from api.card_data import holds_card_number
from api.errors import FieldProblem, Problem, ProblemError
from api.query import (
    PAGE_DEFAULT,
    invalid_parameter,
    invalid_query,
    parse_parameters,
    read_instant_us,
    read_integer,
    read_limit,
)
from api.requests import (
    METADATA_NAME_CHARS_MAX,
    METADATA_VALUE_CHARS_MAX,
    reference_faults,
    text_faults,
)
from ledger.ids import IdError, lowest_id_at, parse_id
from ledger.lifecycle import INTENT_STATUSES
from ledger.listing import IntentFilter
from ledger.money import AMOUNT_MINOR_MAX, AMOUNT_MINOR_MIN

ID_LEAD_US: Final = 60_000_000  # far above any queue before the ledger
METADATA_FILTERS_MAX: Final = 5

_KNOWN: Final = frozenset(
    {
        "limit",
        "after",
        "status",
        "createdAfter",
        "createdBefore",
        "amountInCents",
        "amountMin",
        "amountMax",
        "merchantReference",
    }
)
_METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)


class ListQuery(Struct, frozen=True, kw_only=True):
    """A page of intents, as it is asked for.

    Attributes:
        limit: intents on the page.
        after: the cursor of the page before, an id.
        created_from_us: created at this instant or later, microseconds since 1970.
        created_before_us: created before this instant.
        statuses: intents in one of these only.
        amount_min: over this much at least, in minor units.
        amount_max: over this much at most.
        merchant_reference: with this one only.
        metadata: with each of these pairs only, (name, value).
    """

    limit: int = PAGE_DEFAULT
    after: bytes | None = None
    created_from_us: int | None = None
    created_before_us: int | None = None
    statuses: tuple[str, ...] = tuple(INTENT_STATUSES)
    amount_min: int = AMOUNT_MINOR_MIN
    amount_max: int = AMOUNT_MINOR_MAX
    merchant_reference: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def filter(self) -> IntentFilter:
        """What the ledger is asked for; `covers` decides on the instants.

        An id is drawn before its row is written, at most `ID_LEAD_US` before; so ids narrow the
        search only.
        """
        earliest, end = self.created_from_us, self.created_before_us
        return IntentFilter(
            created_from=None if earliest is None else lowest_id_at(max(0, earliest - ID_LEAD_US)),
            created_before=None if end is None else lowest_id_at(end),
            statuses=self.statuses,
            amount_min=self.amount_min,
            amount_max=self.amount_max,
            merchant_reference=self.merchant_reference,
            metadata=self.metadata,
        )

    def covers(self, created_at_us: int) -> bool:
        """Whether an intent was created in the time asked for."""
        if self.created_from_us is not None and created_at_us < self.created_from_us:
            return False
        return self.created_before_us is None or created_at_us < self.created_before_us


def parse_list_query(query: bytes) -> ListQuery:
    """The page that is asked for.

    Raises:
        ProblemError: `invalid_query` or `raw_card_data_refused`, naming the parameter.
    """
    parameters = parse_parameters(query)
    metadata: list[tuple[str, str]] = []
    for name in parameters.keys() - _KNOWN:
        of_metadata = _METADATA.fullmatch(name)
        if of_metadata is None:
            known = ", ".join(sorted([*_KNOWN, "metadata[name]"]))
            raise invalid_query(f"a parameter is not known; known are {known}")
        metadata.append((of_metadata[1], parameters[name]))
    amount_min, amount_max = _amounts(parameters)
    return ListQuery(
        limit=read_limit(parameters.get("limit")),
        after=_cursor(parameters.get("after")),
        created_from_us=read_instant_us("createdAfter", parameters.get("createdAfter")),
        created_before_us=read_instant_us("createdBefore", parameters.get("createdBefore")),
        statuses=_statuses(parameters.get("status")),
        amount_min=amount_min,
        amount_max=amount_max,
        merchant_reference=_reference(parameters.get("merchantReference")),
        metadata=_metadata(metadata),
    )


def _cursor(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return parse_id("pi", text)
    except IdError:
        raise invalid_parameter("after", "must be the nextCursor of a page") from None


def _statuses(text: str | None) -> tuple[str, ...]:
    if text is None:
        return tuple(INTENT_STATUSES)
    statuses = tuple(text.split(","))
    if not set(statuses) <= set(INTENT_STATUSES):
        raise invalid_parameter("status", f"must be one or more of {', '.join(INTENT_STATUSES)}")
    return statuses


def _amounts(parameters: Mapping[str, str]) -> tuple[int, int]:
    """The lowest and the highest amount."""
    exact = _amount("amountInCents", parameters)
    lowest, highest = _amount("amountMin", parameters), _amount("amountMax", parameters)
    if exact is not None:
        if lowest is not None or highest is not None:
            raise invalid_parameter("amountInCents", "excludes amountMin and amountMax")
        return exact, exact
    if lowest is not None and highest is not None and lowest > highest:
        raise invalid_parameter("amountMin", "must not be above amountMax")
    return lowest or AMOUNT_MINOR_MIN, highest or AMOUNT_MINOR_MAX


def _amount(name: str, parameters: Mapping[str, str]) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    amount = read_integer(text)
    if amount is None or not AMOUNT_MINOR_MIN <= amount <= AMOUNT_MINOR_MAX:
        rule = f"must be an integer from {AMOUNT_MINOR_MIN} to {AMOUNT_MINOR_MAX}"
        raise invalid_parameter(name, rule)
    return amount


def _reference(text: str | None) -> str | None:
    if text is None:
        return None
    for fault in reference_faults(text):
        raise invalid_parameter("merchantReference", fault.detail)
    _refuse_card_data("merchantReference", text)
    return text


def _metadata(pairs: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The pairs in one order, whatever the query's was."""
    if len(pairs) > METADATA_FILTERS_MAX:
        rule = f"may stand {METADATA_FILTERS_MAX} times at most"
        raise invalid_parameter("metadata", rule)
    for name, value in pairs:
        if text_faults("", name, METADATA_NAME_CHARS_MAX):
            rule = f"must have a name of 1 to {METADATA_NAME_CHARS_MAX} characters, none of control"
            raise invalid_parameter("metadata", rule)
        for fault in text_faults("", value, METADATA_VALUE_CHARS_MAX) if value else ():
            raise invalid_parameter("metadata", fault.detail)
        _refuse_card_data("metadata", name, value)
    return tuple(sorted(pairs))


def _refuse_card_data(parameter: str, *texts: str) -> None:
    """No intent can be found by a card number: none was ever created with one."""
    if any(map(holds_card_number, texts)):
        code = "raw_card_data_refused"
        fault = FieldProblem(UNSET, code, "card data in the clear", parameter=parameter)
        raise ProblemError(Problem(code, errors=(fault,)))
