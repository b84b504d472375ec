"""The body of `POST /payment-intents`: its type, and the rules that types cannot say."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec

from api.bodies import Amount, Body, amount_faults, documented, refuse_faults
from api.errors import FieldProblem
from api.json_body import convert
from ledger.money import CURRENCIES

DESCRIPTION_CHARS_MAX: Final = 500
REFERENCE_CHARS_MAX: Final = 128
METADATA_BYTES_MAX: Final = 2_048  # of its JSON; the whole side row stays small
METADATA_ENTRIES_MAX: Final = 50
METADATA_NAME_CHARS_MAX: Final = 40
METADATA_VALUE_CHARS_MAX: Final = 500
CAPTURE_METHODS: Final = ("automatic", "manual")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # tabs and line feeds may stand in free text
_REFERENCE = re.compile(r"[\x21-\x7e]+")

CurrencyCode = Annotated[str, documented(pattern="^[a-z]{3}$")]
Description = Annotated[str, documented(minLength=1, maxLength=DESCRIPTION_CHARS_MAX)]
CaptureMethod = Annotated[str, documented(enum=list(CAPTURE_METHODS))]
Reference = Annotated[str, documented(pattern=f"^[!-~]{{1,{REFERENCE_CHARS_MAX}}}$")]
Metadata = Annotated[dict[str, str], documented(maxProperties=METADATA_ENTRIES_MAX)]


class CreateIntent(Body, frozen=True, kw_only=True):
    """`POST /payment-intents`."""

    amount_in_cents: Amount
    currency: CurrencyCode
    description: Description | None = None
    capture_method: CaptureMethod = "automatic"
    allow_partial_authorization: bool = False
    merchant_reference: Reference | None = None
    metadata: Metadata | None = None


def read_create_intent(value: dict[str, Any]) -> CreateIntent:
    """Type-check and check the creation of an intent.

    Raises:
        ProblemError: with every rule broken, the first one's code standing for all.
    """
    body = convert(value, CreateIntent)
    faults = amount_faults(body.amount_in_cents)
    if body.currency not in CURRENCIES:
        rule = "must be an ISO 4217 code in lower case, such as usd"
        faults.append(FieldProblem("/currency", "unknown_currency", rule))
    if body.capture_method not in CAPTURE_METHODS:
        rule = f"must be {' or '.join(CAPTURE_METHODS)}"
        faults.append(FieldProblem("/captureMethod", "invalid_value", rule))
    if body.description is not None:
        faults += text_faults("/description", body.description, DESCRIPTION_CHARS_MAX)
    if body.merchant_reference is not None:
        faults += reference_faults(body.merchant_reference)
    if body.metadata:
        faults += _metadata_faults(body.metadata)
    refuse_faults(faults)
    return body


def text_faults(pointer: str, text: str, chars_max: int) -> list[FieldProblem]:
    """The fault of free text of 1 to `chars_max` characters, or nothing."""
    if not 1 <= len(text) <= chars_max:
        rule = f"must be 1 to {chars_max} characters"
    elif _CONTROL.search(text) is not None:
        rule = "must not hold control characters other than tab and line feed"
    else:
        return []
    return [FieldProblem(pointer, "invalid_value", rule)]


def reference_faults(reference: str) -> list[FieldProblem]:
    """The fault of a merchant reference that no intent can have, or nothing."""
    if len(reference) <= REFERENCE_CHARS_MAX and _REFERENCE.fullmatch(reference) is not None:
        return []
    rule = f"must be 1 to {REFERENCE_CHARS_MAX} printable ASCII characters without spaces"
    return [FieldProblem("/merchantReference", "invalid_value", rule)]


def _metadata_faults(metadata: dict[str, str]) -> list[FieldProblem]:
    if len(metadata) > METADATA_ENTRIES_MAX:
        rule = f"must have at most {METADATA_ENTRIES_MAX} members"
        return [FieldProblem("/metadata", "invalid_value", rule)]
    faults = []
    for name, value in metadata.items():
        if text_faults("", name, METADATA_NAME_CHARS_MAX):
            rule = f"names must be 1 to {METADATA_NAME_CHARS_MAX} characters, none of control"
            faults.append(FieldProblem("/metadata", "invalid_value", rule))
        elif value:
            pointer = "/metadata/" + name.replace("~", "~0").replace("/", "~1")
            faults += text_faults(pointer, value, METADATA_VALUE_CHARS_MAX)
    if len(msgspec.json.encode(metadata)) > METADATA_BYTES_MAX:
        rule = f"must be at most {METADATA_BYTES_MAX} bytes of JSON"
        faults.append(FieldProblem("/metadata", "invalid_value", rule))
    return faults
