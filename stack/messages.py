"""The ISO 8583 messages of an attempt, for show: rebuilt from what the ledger has recorded.

The bytes on the wire are kept nowhere, because they held a card. What is shown is made again: the
request by the builder that the switch itself uses, from the attempt's row, the merchant's row and
the card that this program has sealed; the answer from the elements that an answer must echo and
from the codes of the recorded outcome. That the rebuilt request is the one that was sent is checked
against the network's own journal, which wrote down what it received.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from chassis.secrets import masked_pan
from network_sim.journal import Entry
from stack.payments import Attempt
from switch.core.messages import Acceptor, sale_request
from switch.iso8583 import Dialect
from switch.iso8583.elements import DE
from switch.iso8583.masking import mask_fields
from switch.iso8583.mti import response_mti
from turnout_client import Card

Fields = Mapping[int, str]

# What a network's journal says of a request, by the element it came in.
_JOURNALED: Final = {
    DE.PROCESSING_CODE: "processing_code",
    DE.AMOUNT: "amount",
    DE.TRANSMISSION_DATE_TIME: "de7",
    DE.STAN: "stan",
    DE.ACQUIRER_ID: "acquirer_id",
    DE.RRN: "rrn",
    DE.CARD_ACCEPTOR_ID: "card_acceptor_id",
    DE.CURRENCY: "currency",
}


@frozen
class Exchange:
    """A request and its answer, unmasked; the answer is None where none has come."""

    request: Fields
    answer: Fields | None


def rebuild(
    attempt: Attempt, *, card: Card, acquirer_id: str, acceptor: Acceptor, dialect: Dialect
) -> Exchange:
    """Make the messages of a charge's attempt again.

    Args:
        attempt: as the timeline tells it.
        card: that was charged.
        acquirer_id: DE 32 on the attempt's network.
        acceptor: what networks are told about the merchant.
        dialect: of the attempt's network.
    """
    request = sale_request(
        pan=card.number,
        expiry=f"{card.exp_year % 100:02d}{card.exp_month:02d}",
        cvc=card.cvc,
        amount_minor=attempt.amount_minor,
        currency=attempt.currency,
        stan=attempt.stan,
        de7=attempt.de7,
        rrn=attempt.rrn,
        acquirer_id=acquirer_id,
        acceptor=acceptor,
    )
    if not attempt.response_code:
        return Exchange(request, None)
    answer = {number: request[number] for number in dialect.echo if number in request}
    answer |= {0: response_mti(attempt.mti), DE.RESPONSE_CODE: attempt.response_code}
    if attempt.approval_code:
        answer[DE.APPROVAL_CODE] = attempt.approval_code
    return Exchange(request, answer)


def table_rows(exchange: Exchange, dialect: Dialect) -> list[tuple[str, str, str, str]]:
    """(DE, name, request, answer), masked, ascending; the first row is the MTI."""
    request = mask_fields(exchange.request)
    answer = mask_fields(exchange.answer or {})
    return [
        (
            str(number) if number else "MTI",
            dialect.elements[number].name if number else "",
            request.get(number, "").rstrip(),
            answer.get(number, "").rstrip(),
        )
        for number in sorted(request.keys() | answer.keys())
    ]


def disagreements(request: Fields, entry: Entry) -> list[str]:
    """The columns of a network's journal that do not say what the rebuilt request says."""
    wrong = [
        column
        for number, column in _JOURNALED.items()
        if request[number].rstrip() != getattr(entry, column).rstrip()
    ]
    if request[DE.MTI] != entry.mti:
        wrong.append("mti")
    if masked_pan(request[DE.PAN]) != entry.masked_pan:
        wrong.append("masked_pan")
    return wrong
