"""A payment as its merchant can see it: the intent and its timeline, read through the API.

Pure. The timeline names every message exchange with a network; `transactions` gathers what its
events say of each, and `document` is what the CLI's JSON shows (contract 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from attrs import define, field, frozen

from turnout_client import PaymentIntent, TimelineEvent


@define(kw_only=True)
class Attempt:
    """One message exchange with a network.

    Attributes:
        de7: transmission time, MMDDhhmmss.
        kind: what it is to its transaction: request, completion, reversal, release, inquiry.
        amount_minor: what the message is about.
        outcome: the latest result, such as approved or unknown; empty while there is none.
        response_code: DE 39 of the answer that decided it, empty without one.
        approval_code: DE 38 of the same.
        answered: whether that answer was its own, not one to an inquiry or a reversal.
    """

    network: str
    mti: str
    stan: str
    rrn: str
    de7: str
    kind: str
    amount_minor: int
    currency: str
    outcome: str = ""
    response_code: str = ""
    approval_code: str = ""
    answered: bool = False


@define
class Transaction:
    """One money movement with its attempts, in order."""

    id: str
    type: str
    status: str = "pending"
    attempts: list[Attempt] = field(factory=list)


@frozen
class Payment:
    """An intent and its timeline, oldest event first."""

    intent: PaymentIntent
    events: Sequence[TimelineEvent]

    def transactions(self) -> list[Transaction]:
        """The transactions in the order they were begun."""
        found: dict[str, Transaction] = {}
        for before, event in pairwise((None, *self.events)):
            if event is None or event.transaction is None:
                continue
            transaction = found.setdefault(
                event.transaction, Transaction(event.transaction, event.data["transactionType"])
            )
            transaction.status = event.data["transactionStatus"]
            if event.data.get("rrn"):
                _note(transaction.attempts, event.data, learnt=_is_learnt(event, before))
        return list(found.values())

    @property
    def is_at_rest(self) -> bool:
        """Whether what became of every message is known."""
        return all(
            attempt.outcome
            for transaction in self.transactions()
            for attempt in transaction.attempts
        )

    def document(self) -> dict[str, Any]:
        """The payment as the CLI's JSON shows it."""
        return {
            "intent": self.intent.id,
            "status": self.intent.status,
            "transactions": [
                {
                    "id": transaction.id,
                    "type": transaction.type,
                    "status": transaction.status,
                    "attempts": [
                        {
                            "mti": attempt.mti,
                            "stan": attempt.stan,
                            "rrn": attempt.rrn,
                            "outcome": attempt.outcome,
                        }
                        for attempt in transaction.attempts
                    ],
                }
                for transaction in self.transactions()
            ],
        }


def _is_learnt(event: TimelineEvent, before: TimelineEvent | None) -> bool:
    """Whether an outcome was learnt from the answer to another message, told just before it."""
    return (
        before is not None
        and before.type == "attempt.ended"
        and before.at == event.at
        and event.type != "attempt.ended"
    )


def _note(attempts: list[Attempt], data: Mapping[str, Any], *, learnt: bool) -> None:
    """Add what an event says of an attempt; MTI, STAN and DE 7 tell attempts apart."""
    names = (data["mti"], data["stan"], data["de7"])
    attempt = next((each for each in attempts if (each.mti, each.stan, each.de7) == names), None)
    if attempt is None:
        attempt = Attempt(
            network=data["network"],
            mti=data["mti"],
            stan=data["stan"],
            rrn=data["rrn"],
            de7=data["de7"],
            kind=data["kind"],
            amount_minor=data["amountInCents"],
            currency=data["currency"],
        )
        attempts.append(attempt)
    if data.get("result"):
        attempt.outcome = data["result"]
        attempt.response_code = data.get("responseCode", "")
        attempt.approval_code = data.get("approvalCode", "")
        attempt.answered = bool(attempt.response_code) and not learnt
