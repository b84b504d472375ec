"""Request bodies of the routes: their types, and the rules that types cannot say."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from api.errors import FieldProblem, Problem, ProblemError
from api.json_body import convert, read_object
from ledger.money import AMOUNT_MINOR_MAX, AMOUNT_MINOR_MIN, CURRENCIES

DESCRIPTION_CHARS_MAX: Final = 500
REFERENCE_CHARS_MAX: Final = 128
METADATA_BYTES_MAX: Final = 2_048  # of its JSON; the whole side row stays small
METADATA_ENTRIES_MAX: Final = 50
METADATA_NAME_CHARS_MAX: Final = 40
METADATA_VALUE_CHARS_MAX: Final = 500
CIPHERTEXT_CHARS_MAX: Final = 1_024  # suite 2 makes 465; anything near this is no sealed card

TRANSACTION_TYPES: Final = frozenset({"charge", "capture", "cancel", "verify", "refund"})
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # tabs and line feeds may stand in free text
_REFERENCE = re.compile(r"[\x21-\x7e]+")


class Body(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Base of request bodies: camelCase members, strangers refused."""


def _documented(**schema: Any) -> Meta:
    """Bounds for the OpenAPI document; they are checked below, with codes of their own."""
    return Meta(extra_json_schema=schema)


Amount = Annotated[int, _documented(minimum=AMOUNT_MINOR_MIN, maximum=AMOUNT_MINOR_MAX)]
CurrencyCode = Annotated[str, _documented(pattern="^[a-z]{3}$")]
Description = Annotated[str, _documented(minLength=1, maxLength=DESCRIPTION_CHARS_MAX)]
CaptureMethod = Annotated[str, _documented(enum=["automatic", "manual"])]
Reference = Annotated[str, _documented(pattern=f"^[!-~]{{1,{REFERENCE_CHARS_MAX}}}$")]
Metadata = Annotated[dict[str, str], _documented(maxProperties=METADATA_ENTRIES_MAX)]


class CreateIntent(Body, frozen=True, kw_only=True):
    """`POST /payment-intents`."""

    amount_in_cents: Amount
    currency: CurrencyCode
    description: Description | None = None
    capture_method: CaptureMethod = "automatic"
    allow_partial_authorization: bool = False
    merchant_reference: Reference | None = None
    metadata: Metadata | None = None


class SealedCard(Body, frozen=True, kw_only=True):
    """A card as the browser sealed it."""

    ciphertext: str


class PaymentMethod(Body, frozen=True, kw_only=True):
    """The long form of `card`."""

    type: str
    ciphertext: str


class ChargeIntent(Body, frozen=True, kw_only=True):
    """`POST /payment-intents/{id}/transactions` of type charge."""

    type: str
    card: SealedCard | UnsetType = UNSET
    payment_method: PaymentMethod | UnsetType = UNSET


def read_create_intent(value: dict[str, Any]) -> CreateIntent:
    """Type-check and check the creation of an intent.

    Raises:
        ProblemError: with every rule broken, the first one's code standing for all.
    """
    body = convert(value, CreateIntent)
    faults = []
    if not AMOUNT_MINOR_MIN <= body.amount_in_cents <= AMOUNT_MINOR_MAX:
        rule = f"must be an integer from {AMOUNT_MINOR_MIN} to {AMOUNT_MINOR_MAX}"
        faults.append(FieldProblem("/amountInCents", "amount_out_of_range", rule))
    if body.currency not in CURRENCIES:
        rule = "must be an ISO 4217 code in lower case, such as usd"
        faults.append(FieldProblem("/currency", "unknown_currency", rule))
    if body.capture_method != "automatic":
        faults.append(_capture_method_fault(body.capture_method))
    if body.description is not None:
        faults += _text_faults("/description", body.description, DESCRIPTION_CHARS_MAX)
    if body.merchant_reference is not None:
        faults += _reference_faults(body.merchant_reference)
    if body.metadata:
        faults += _metadata_faults(body.metadata)
    if faults:
        raise ProblemError(Problem(faults[0].code, faults[0].detail, tuple(faults)))
    return body


def read_charge(body: bytes) -> str:
    """The ciphertext of a charge.

    Raises:
        ProblemError: `transaction_type_unavailable` for the types of later releases, a rule
            broken, or what `read_object` raises.
    """
    return _read_plain_charge(body) or _read_any_charge(read_object(body))


def _read_plain_charge(body: bytes) -> str:
    """Read the one form that nearly all charges have, in a third of the time; or give up.

    The text must hold ten quotation marks and no backslash: those of three names and two values,
    which are then all that is in it, so no member stands twice.
    """
    try:
        charge = _decode_charge(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if charge.type != "charge" or charge.card is UNSET:
        return ""
    ciphertext = charge.card.ciphertext
    if (
        ciphertext[:3] == "v1."
        and len(ciphertext) <= CIPHERTEXT_CHARS_MAX
        and ciphertext.isascii()
        and body.count(b'"') == _PLAIN_CHARGE_QUOTES
        and b"\\" not in body
    ):
        return ciphertext
    return ""


_decode_charge = msgspec.json.Decoder(ChargeIntent).decode
_PLAIN_CHARGE_QUOTES: Final = 10


def _read_any_charge(value: dict[str, Any]) -> str:
    kind = value.get("type")
    if kind != "charge":
        _refuse_type(kind)
    body = convert(value, ChargeIntent)
    if body.card is UNSET and body.payment_method is UNSET:
        raise _fault("", "missing_field", "card is missing")
    if body.card is not UNSET and body.payment_method is not UNSET:
        raise _fault("/paymentMethod", "invalid_value", "send card or paymentMethod, not both")
    if body.card is not UNSET:
        pointer, ciphertext = "/card", body.card.ciphertext
    else:
        assert body.payment_method is not UNSET
        if body.payment_method.type != "card":
            raise _fault("/paymentMethod/type", "invalid_value", "must be card")
        pointer, ciphertext = "/paymentMethod", body.payment_method.ciphertext
    if len(ciphertext) > CIPHERTEXT_CHARS_MAX or not ciphertext.isascii():
        raise _fault(f"{pointer}/ciphertext", "card_undecryptable", "is no sealed card")
    return ciphertext


def _refuse_type(kind: object) -> None:
    if kind is None:
        raise _fault("", "missing_field", "type is missing")
    if not isinstance(kind, str):
        raise _fault("/type", "invalid_type", "must be a string")
    if kind not in TRANSACTION_TYPES:
        names = ", ".join(sorted(TRANSACTION_TYPES))
        raise _fault("/type", "invalid_value", f"must be one of {names}")
    raise _fault("/type", "transaction_type_unavailable", "only charge is available")


def _capture_method_fault(capture_method: str) -> FieldProblem:
    if capture_method == "manual":
        return FieldProblem(
            "/captureMethod", "capture_method_unavailable", "manual is not available yet"
        )
    return FieldProblem("/captureMethod", "invalid_value", "must be automatic or manual")


def _text_faults(pointer: str, text: str, chars_max: int) -> list[FieldProblem]:
    if not 1 <= len(text) <= chars_max:
        rule = f"must be 1 to {chars_max} characters"
    elif _CONTROL.search(text) is not None:
        rule = "must not hold control characters other than tab and line feed"
    else:
        return []
    return [FieldProblem(pointer, "invalid_value", rule)]


def _reference_faults(reference: str) -> list[FieldProblem]:
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
        if _text_faults("", name, METADATA_NAME_CHARS_MAX):
            rule = f"names must be 1 to {METADATA_NAME_CHARS_MAX} characters, none of control"
            faults.append(FieldProblem("/metadata", "invalid_value", rule))
        elif value:
            pointer = "/metadata/" + name.replace("~", "~0").replace("/", "~1")
            faults += _text_faults(pointer, value, METADATA_VALUE_CHARS_MAX)
    if len(msgspec.json.encode(metadata)) > METADATA_BYTES_MAX:
        rule = f"must be at most {METADATA_BYTES_MAX} bytes of JSON"
        faults.append(FieldProblem("/metadata", "invalid_value", rule))
    return faults


def _fault(pointer: str, code: str, detail: str) -> ProblemError:
    return ProblemError(Problem(code, detail, (FieldProblem(pointer, code, detail),)))
