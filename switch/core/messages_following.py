"""The messages that follow a charge: captures, reversals, refunds, and inquiries about them.

A message that follows names the one it follows: by its RRN, which is one for the whole life of a
payment, and by DE 90, which holds all five parts of the original's identity. We stored them before
the original was sent, so none is ever filled with zeros for want of knowing it. A refund is a
payment of its own the other way: it has an RRN of its own and no original.

Nothing here carries a CVC. A repeat is built from the same rows as the first sending and differs
by its MTI alone, or, where a network wants that, by DE 7 as well (`repeat_mti`).
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from hsm_sim.wire.masked import Masked
from ledger.money import numeric_currency
from switch.core.messages import PROCESSING_CODE_SALE, Acceptor
from switch.dialects import Policy

PROCESSING_CODE_REFUND: Final = "200000"
INQUIRY_MTI: Final = "0600"
NO_FEE: Final = "C00000000"  # x+n8
FOUND: Final = "00"  # DE 39 of a 0610: it speaks of the inquiry, DE 62 of the original


class MessageError(ValueError):
    """Something of ours, or of a network's, is no part of a message; says which part."""


class Card(Masked, frozen=True, gc=False):
    """Number and expiry as the HSM released them; there is no CVC any more."""

    pan: str
    expiry: str  # YYMM


class Numbers(Struct, frozen=True, gc=False):
    """What names one message."""

    stan: str  # DE 11
    de7: str  # MMDDhhmmss
    rrn: str  # DE 37, of the whole life
    acquirer_id: str  # DE 32


class Original(Struct, frozen=True, gc=False):
    """The message that another one follows."""

    mti: str
    numbers: Numbers
    approval_code: str = ""  # DE 38 of its answer


def following_message(
    *,
    mti: str,
    card: Card,
    amount_minor: int,
    currency: str,
    numbers: Numbers,
    acceptor: Acceptor,
    policy: Policy,
    original: Original | None,
    refunding: bool = False,
    remaining_minor: int | None = None,
) -> dict[int, str]:
    """The fields of a 0200 refund, a 0220, a 0400 or a 0420, and of their repeats.

    Args:
        mti: of this sending.
        card: of the charge.
        amount_minor: DE 4.
        currency: alphabetic.
        numbers: of this message.
        acceptor: the merchant.
        policy: of the network's dialect.
        original: what it follows; None for a refund's request.
        refunding: whether it belongs to a refund; DE 3 is the same as in the original.
        remaining_minor: DE 95, the amount of the original that stays; None where nothing does, or
            where the amount is not changed.
    """
    local = original.numbers.de7 if original is not None else numbers.de7
    fields = {
        0: mti,
        2: card.pan,
        3: PROCESSING_CODE_REFUND if refunding else PROCESSING_CODE_SALE,
        4: f"{amount_minor:012d}",
        7: numbers.de7,
        11: numbers.stan,
        12: local[4:],
        13: local[:4],
        14: card.expiry,
        18: acceptor.mcc,
        19: acceptor.country,
        22: policy.pos_entry_mode,
        25: policy.pos_condition_code,
        32: numbers.acquirer_id,
        37: numbers.rrn,
        41: acceptor.terminal_id,
        42: acceptor.card_acceptor_id,
        43: acceptor.name_location,
        49: numeric_currency(currency),
    }
    if original is not None:
        if original.approval_code:
            fields[38] = f"{original.approval_code:6}"
        fields[90] = original_data(original)
    if remaining_minor is not None:
        fields[95] = replacement_amounts(remaining_minor)
    return fields


def inquiry_message(
    *,
    card: Card,
    amount_minor: int,
    currency: str,
    numbers: Numbers,
    acceptor: Acceptor,
    original: Original,
    refunding: bool = False,
) -> dict[int, str]:
    """The fields of a 0600 about `original`: its RRN and amount, a STAN and DE 7 of our own."""
    local = original.numbers.de7
    return {
        0: INQUIRY_MTI,
        2: card.pan,
        3: PROCESSING_CODE_REFUND if refunding else PROCESSING_CODE_SALE,
        4: f"{amount_minor:012d}",
        7: numbers.de7,
        11: numbers.stan,
        12: local[4:],
        13: local[:4],
        32: numbers.acquirer_id,
        37: numbers.rrn,
        41: acceptor.terminal_id,
        42: acceptor.card_acceptor_id,
        49: numeric_currency(currency),
        90: original_data(original),
    }


def original_data(original: Original) -> str:
    """DE 90, n42: MTI, STAN, DE 7, acquirer id and forwarding id, the last two right-justified.

    We forward for nobody: DE 33 was absent from the original, so its part is zeros.
    """
    numbers = original.numbers
    text = f"{original.mti}{numbers.stan}{numbers.de7}{numbers.acquirer_id:0>11}{'':0>11}"
    if len(text) != 42:
        raise MessageError("DE 90: a part of the original's identity has another length")
    return text


def replacement_amounts(remaining_minor: int) -> str:
    """DE 95, an42: what stays of the original amount, no settlement amount, no fees."""
    return f"{remaining_minor:012d}{0:012d}{NO_FEE}{NO_FEE}"


def repeat_mti(mti: str, rule: Literal["repeat", "same"]) -> str:
    """The MTI of a message sent again: 0421 after 0420, where the network wants that."""
    return mti[:3] + "1" if rule == "repeat" else mti


class InquiryAnswer(Struct, frozen=True, gc=False):
    """DE 62 of a 0610: what the network holds about the original."""

    response_code: str  # the original's DE 39
    approval_code: str  # the original's DE 38, or empty
    approved_minor: int
    reversed: bool


_REVERSED: Final = {"0": False, "1": True}


def parse_inquiry_answer(text: str) -> InquiryAnswer:
    """Read DE 62: DE 39 (2), DE 38 (6, space filled), approved amount (12), 1 if reversed.

    Raises:
        MessageError: the text is of no such form.
    """
    code, approval, amount, flag = text[:2], text[2:8], text[8:20], text[20:]
    if not (len(code) == 2 and code.isascii() and code.isalnum()):
        raise MessageError("DE 62: no response code")
    if not (len(amount) == 12 and amount.isascii() and amount.isdigit()):
        raise MessageError("DE 62: no approved amount")
    if flag not in _REVERSED:
        raise MessageError("DE 62: neither reversed nor not")
    return InquiryAnswer(code, approval.strip(), int(amount), _REVERSED[flag])
