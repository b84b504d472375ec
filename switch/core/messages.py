"""The messages of a sale: building the 0200, and checking that an answer is an answer to it.

Fields follow the DE matrix of NET87B (iso8583.md 2.2). The CVC travels in DE 48 of the request and
nowhere else. A request is kept for the echo check only, and without its card.
"""

from __future__ import annotations

from operator import itemgetter

from msgspec import Struct

from ledger.merchants import Merchant
from ledger.money import numeric_currency
from switch.iso8583.private import encode as encode_private

PROCESSING_CODE_SALE = "000000"
POS_ENTRY_MODE_ECOMMERCE = "810"  # DE 22: electronic commerce, no PIN
POS_CONDITION_ECOMMERCE = "59"  # DE 25
PRIVATE_TAG_CVC2 = "92"
# What stands before the code in DE 48, by the number of its digits.
_CVC2_HEADS = {
    digits: encode_private({PRIVATE_TAG_CVC2: "0" * digits}).removesuffix("0" * digits)
    for digits in (3, 4)
}
CARD_ELEMENTS = (2, 14, 48)  # PAN, expiry, private data with the CVC


class Acceptor(Struct, frozen=True, gc=False):
    """What the network is told about the merchant, already at field width."""

    terminal_id: str  # DE 41, 8
    card_acceptor_id: str  # DE 42, 15
    name_location: str  # DE 43, 40
    mcc: str  # DE 18, 4
    country: str  # DE 19, 3 digits

    @classmethod
    def of(cls, merchant: Merchant) -> Acceptor:
        """What networks are told about a merchant of the ledger."""
        return cls(
            terminal_id=f"{merchant.terminal_id:8}",
            card_acceptor_id=f"{merchant.card_acceptor_id:15}",
            name_location=f"{merchant.name_location:40}",
            mcc=merchant.mcc,
            country=merchant.country,
        )


def sale_request(
    *,
    pan: str,
    expiry: str,
    cvc: str,
    amount_minor: int,
    currency: str,
    stan: str,
    de7: str,
    rrn: str,
    acquirer_id: str,
    acceptor: Acceptor,
) -> dict[int, str]:
    """The fields of a 0200 sale; `expiry` is YYMM, `de7` MMDDhhmmss, `currency` alphabetic."""
    fields = {
        0: "0200",
        2: pan,
        3: PROCESSING_CODE_SALE,
        4: f"{amount_minor:012d}",
        7: de7,
        11: stan,
        12: de7[4:],
        13: de7[:4],
        14: expiry,
        18: acceptor.mcc,
        19: acceptor.country,
        22: POS_ENTRY_MODE_ECOMMERCE,
        25: POS_CONDITION_ECOMMERCE,
        32: acquirer_id,
        37: rrn,
        41: acceptor.terminal_id,
        42: acceptor.card_acceptor_id,
        43: acceptor.name_location,
        49: numeric_currency(currency),
    }
    if cvc:
        fields[48] = _CVC2_HEADS[len(cvc)] + cvc
    return fields


def drop_card(fields: dict[int, str]) -> None:
    """Take PAN, expiry and CVC out of a request that has been encoded; the echoes stay."""
    for de in CARD_ELEMENTS:
        fields.pop(de, None)


ECHOED = (3, 4, 7, 11, 32, 37, 41, 42, 49)
"""Elements a response must echo exactly (iso8583.md 3.10); DE 4 may differ on a partial approval,
DE 2 may be absent."""

AMOUNT = 4
_echoed = itemgetter(*ECHOED)  # all at once: nearly every answer is an exact echo


def echo_mismatch(
    request: dict[int, str], response: dict[int, str], *, pan: str = "", partial: bool = False
) -> int | None:
    """The first DE in which `response` is not an echo of `request`, or None.

    Args:
        request: what was sent, with or without the card.
        response: what came back.
        pan: the card's number while it is in memory; a late answer is checked without it, and RRN,
            STAN and DE 7 remain.
        partial: whether DE 4 may differ.
    """
    try:
        same = _echoed(request) == _echoed(response)
    except KeyError:
        same = False
    if not same:
        for de in ECHOED:
            if request.get(de) != response.get(de) and not (partial and de == AMOUNT):
                return de
    if pan and response.get(2, pan) != pan:
        return 2
    return None
