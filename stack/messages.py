"""The ISO 8583 messages of an attempt, for show: rebuilt from what the ledger has recorded.

The bytes on the wire are kept nowhere, because they held a card. What is shown is made again: the
request by the builder that the switch itself uses, from the attempt's row, the merchant's row and
the card that this program has sealed; the answer from the elements that an answer must echo and
from the codes of the recorded outcome. That the rebuilt request is the one that was sent is checked
against the network's own journal, which wrote down what it received.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from chassis.secrets import masked_pan
from network_sim.journal import Entry
from stack.payments import Attempt, Transaction
from switch.core.messages import Acceptor, card_request, charge_shape, verification_shape
from switch.core.messages_following import (
    FOUND,
    Numbers,
    Original,
    following_message,
    inquiry_message,
)
from switch.core.messages_following import Card as StoredCard
from switch.iso8583 import Dialect
from switch.iso8583.elements import DE
from switch.iso8583.masking import mask_fields
from switch.iso8583.mti import AUTHORIZATION_REQUEST, response_mti
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


@frozen(kw_only=True)
class Circumstances:
    """What the messages of a payment have in common.

    Attributes:
        card: that was charged.
        acquirer_id: DE 32 on the network.
        acceptor: what networks are told about the merchant.
        dialect: of the network.
    """

    card: Card
    acquirer_id: str
    acceptor: Acceptor
    dialect: Dialect


def rebuild(
    attempt: Attempt,
    transaction: Transaction,
    payment: Sequence[Transaction],
    circumstances: Circumstances,
) -> Exchange:
    """Make the messages of an attempt again.

    Args:
        attempt: as the timeline tells it.
        transaction: that it belongs to.
        payment: every transaction of the intent, in order.
        circumstances: the rest of what the messages say.
    """
    is_refund = transaction.type == "refund"
    original = _original(attempt, payment)
    if attempt.kind == "inquiry":
        assert original is not None
        request = _inquiry(attempt, original, circumstances, refunding=is_refund)
    elif original is None and not is_refund:
        request = _first(attempt, circumstances)
    else:
        request = _following(attempt, transaction, original, payment, circumstances)
    if not attempt.answered:
        return Exchange(request, None)
    answer = _answer(attempt, request, circumstances.dialect)
    return Exchange(request, answer)


def _original(attempt: Attempt, payment: Sequence[Transaction]) -> Attempt | None:
    """The request that began the life which the attempt's RRN names, if it is another one."""
    first = next(
        each
        for transaction in payment
        for each in transaction.attempts
        if each.rrn == attempt.rrn and each.kind == "request"
    )
    return None if first is attempt else first


def _first(attempt: Attempt, circumstances: Circumstances) -> Fields:
    card, policy = circumstances.card, circumstances.dialect.policy
    verifies = attempt.amount_minor == 0
    dual = attempt.mti == AUTHORIZATION_REQUEST
    return card_request(
        shape=verification_shape(policy) if verifies else charge_shape(policy, dual=dual),
        pan=card.number,
        expiry=_expiry(card),
        cvc=card.cvc,
        amount_minor=attempt.amount_minor,
        currency=attempt.currency,
        stan=attempt.stan,
        de7=attempt.de7,
        rrn=attempt.rrn,
        acquirer_id=circumstances.acquirer_id,
        acceptor=circumstances.acceptor,
    )


def _inquiry(
    attempt: Attempt, original: Attempt, circumstances: Circumstances, *, refunding: bool
) -> Fields:
    return inquiry_message(
        card=_stored(circumstances.card),
        amount_minor=attempt.amount_minor,
        currency=attempt.currency,
        numbers=_numbers(attempt, circumstances),
        acceptor=circumstances.acceptor,
        original=_named(original, circumstances),
        refunding=refunding,
    )


def _following(
    attempt: Attempt,
    transaction: Transaction,
    original: Attempt | None,
    payment: Sequence[Transaction],
    circumstances: Circumstances,
) -> Fields:
    return following_message(
        mti=attempt.mti,
        card=_stored(circumstances.card),
        amount_minor=attempt.amount_minor,
        currency=attempt.currency,
        numbers=_numbers(attempt, circumstances),
        acceptor=circumstances.acceptor,
        policy=circumstances.dialect.policy,
        original=None if original is None else _named(original, circumstances),
        refunding=transaction.type == "refund",
        remaining_minor=_remaining_minor(attempt, transaction, payment),
    )


def _answer(attempt: Attempt, request: Fields, dialect: Dialect) -> Fields:
    """What came back: the echoes, and what the outcome has kept of the rest.

    DE 39 of a 0610 speaks of the inquiry itself; what it says of the original stands in DE 62.
    """
    answer = {number: request[number] for number in dialect.echo if number in request}
    answer |= {0: response_mti(attempt.mti), DE.RESPONSE_CODE: attempt.response_code}
    if attempt.kind == "inquiry":
        answer[DE.ORIGINAL_DATA] = request[DE.ORIGINAL_DATA]
        if attempt.outcome != "unknown":
            held = f"{attempt.response_code}{attempt.approval_code:6}{attempt.amount_minor:012d}0"
            answer |= {DE.RESPONSE_CODE: FOUND, DE.PRIVATE_62: held}
    elif attempt.approval_code:
        answer[DE.APPROVAL_CODE] = attempt.approval_code
    return answer


def _remaining_minor(
    attempt: Attempt, transaction: Transaction, payment: Sequence[Transaction]
) -> int | None:
    """DE 95: what has been captured, of a message that gives back the rest."""
    captured_minor = sum(
        each.attempts[0].amount_minor
        for each in payment
        if each.type == "capture" and each.status == "succeeded"
    )
    gives_back = attempt.kind == "release" or (transaction.type == "cancel" and captured_minor)
    return captured_minor if gives_back else None


def _named(original: Attempt, circumstances: Circumstances) -> Original:
    return Original(original.mti, _numbers(original, circumstances), original.approval_code)


def _numbers(attempt: Attempt, circumstances: Circumstances) -> Numbers:
    return Numbers(attempt.stan, attempt.de7, attempt.rrn, circumstances.acquirer_id)


def _stored(card: Card) -> StoredCard:
    """The card as it is kept: without its CVC."""
    return StoredCard(card.number, _expiry(card))


def _expiry(card: Card) -> str:
    return f"{card.exp_year % 100:02d}{card.exp_month:02d}"


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
    if entry.original and request.get(DE.ORIGINAL_DATA, "")[4:20] != entry.original[:16]:
        wrong.append("original")
    return wrong
