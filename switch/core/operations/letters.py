"""The message of an attempt: what the ledger knows of it, and the fields that go on the wire.

A letter is the same whenever it is asked for, from the first sending to the last repeat: all that
it is made of is fixed by the commit that wrote its attempt.
"""

from __future__ import annotations

from ledger.deciding.records import AttemptView, IntentView, NewAttempt
from switch.core.messages import Acceptor
from switch.core.messages_following import (
    Card,
    Numbers,
    Original,
    following_message,
    inquiry_message,
    repeat_mti,
)
from switch.core.operations.reading import (
    ViewError,
    find_transaction,
    original_of,
    transaction_of,
)
from switch.core.operations.records import Letter
from switch.dialects import Policy


def letter_of(view: IntentView, attempt: AttemptView | NewAttempt, *, type_: str = "") -> Letter:
    """The letter of an attempt that stands in a view, or is about to.

    Args:
        view: of the attempt's intent.
        attempt: one that follows a charge.
        type_: of its transaction, where that is about to be inserted.

    Raises:
        ViewError: what it follows is not in the view.
    """
    transaction = find_transaction(view, attempt.transaction_id)
    type_ = transaction.type if transaction is not None else type_
    original = original_of(view, attempt.rrn)
    begins = original is None or original.attempt_id == attempt.attempt_id
    if begins and type_ != "refund":
        raise ViewError("the original of what follows it")
    return Letter(
        attempt_id=attempt.attempt_id,
        charge_id=charge_of(view, attempt.rrn),
        kind=attempt.kind,
        mti=attempt.mti,
        network=attempt.network,
        acquirer_id=attempt.acquirer_id,
        stan=attempt.stan,
        rrn=attempt.rrn,
        de7=attempt.de7,
        amount_minor=attempt.amount_minor,
        currency=attempt.currency,
        original=None if original is None or begins else _original(original),
        refunding=type_ == "refund",
        remaining_minor=_remaining(view, attempt.kind, type_),
    )


def charge_of(view: IntentView, rrn: str) -> bytes:
    """The charge whose card a message under this RRN needs: of a refund, the one it gives back.

    Raises:
        ViewError: there is none.
    """
    original = original_of(view, rrn)
    if original is not None:
        transaction = transaction_of(view, original.transaction_id)
        if transaction.type != "refund":
            return transaction.transaction_id
    for transaction in reversed(view.transactions):
        if transaction.type == "charge" and transaction.status == "succeeded":
            return transaction.transaction_id
    raise ViewError("the charge that is refunded")


def _original(attempt: AttemptView) -> Original:
    return Original(
        attempt.mti,
        Numbers(attempt.stan, attempt.de7, attempt.rrn, attempt.acquirer_id),
        attempt.approval_code,
    )


def _remaining(view: IntentView, kind: str, type_: str) -> int | None:
    """DE 95: behind a final capture, and of a cancel behind partial ones, what was captured."""
    behind_capture = kind == "release" and type_ == "capture"
    if behind_capture or (type_ == "cancel" and view.captured_minor):
        return view.captured_minor
    return None


def compose(
    letter: Letter,
    *,
    card: Card,
    acceptor: Acceptor,
    policy: Policy,
    sent_before: bool = False,
    de7: str = "",
) -> dict[int, str]:
    """The fields of a letter's message.

    Args:
        letter: what the ledger knows.
        card: as the HSM released it.
        acceptor: the merchant.
        policy: of the network's dialect.
        sent_before: whether this is a repeat.
        de7: of a repeat, on networks that want a new one; otherwise as in the letter.
    """
    numbers = Numbers(letter.stan, de7 or letter.de7, letter.rrn, letter.acquirer_id)
    if letter.kind == "inquiry":
        if letter.original is None:
            raise ViewError("the original of an inquiry")
        return inquiry_message(
            card=card,
            amount_minor=letter.amount_minor,
            currency=letter.currency,
            numbers=numbers,
            acceptor=acceptor,
            original=letter.original,
            refunding=letter.refunding,
        )
    return following_message(
        mti=repeat_mti(letter.mti, policy.repeat_mti) if sent_before else letter.mti,
        card=card,
        amount_minor=letter.amount_minor,
        currency=letter.currency,
        numbers=numbers,
        acceptor=acceptor,
        policy=policy,
        original=letter.original,
        refunding=letter.refunding,
        remaining_minor=letter.remaining_minor,
    )
