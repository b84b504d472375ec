"""Three-way agreement: what merchants were told, what the ledger holds, what the network decided.

Pure. The three sources are independent: recorded HTTP answers, rows read with plain SQL, and the
simulated network's own file. A payment is named by its intent; a message by (network, RRN, message
type): on a dual-message network a charge is two of them under one RRN.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import attrs
from msgspec import Struct

APPROVED_CODES = frozenset({"00", "08", "10", "11", "85"})
DECIDED = {"succeeded": True, "failed": False}


class Told(Struct, frozen=True):
    """One answer that a merchant got to a charge."""

    intent: str
    transaction: str
    status: str  # succeeded | failed | pending_verification | …


class Held(Struct, frozen=True):
    """One attempt as the ledger holds it, with its transaction's status."""

    intent: str
    transaction: str
    status: str
    network: str
    rrn: str
    result: str  # of the latest outcome, "" without one
    amount_minor: int
    mti: str = "0200"


class Carried(Struct, frozen=True):
    """One decision as the network recorded it."""

    network: str
    rrn: str
    response_code: str
    amount_minor: int
    mti: str = "0200"


@attrs.frozen(kw_only=True)
class Agreement:
    """What the three sources say of each other."""

    sent: int
    answered: int
    held: int  # transactions
    carried: int  # messages
    lost: tuple[str, ...]  # payments that somebody was told of and the ledger or network lacks
    duplicated: tuple[str, ...]  # payments charged or recorded more than once
    disagree: tuple[dict[str, str], ...]  # payments whose three statuses do not fit

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.duplicated or self.disagree)


def agree(
    sent: int, told: Sequence[Told], held: Sequence[Held], carried: Iterable[Carried]
) -> Agreement:
    """Compare the three sources after every payment has come to rest."""
    network: dict[tuple[str, str, str], Carried] = {}
    duplicated: list[str] = []
    decisions = 0
    for row in carried:
        decisions += 1
        if _message(row) in network:
            duplicated.append(f"{row.network} {row.rrn}")
        network[_message(row)] = row
    by_transaction = {row.transaction: row for row in held}
    approved = Counter(row.intent for row in by_transaction.values() if row.status == "succeeded")
    duplicated.extend(intent for intent, count in approved.items() if count > 1)

    lost = [answer.intent for answer in told if answer.transaction not in by_transaction]
    disagree: list[dict[str, str]] = []
    answers = {answer.transaction: answer.status for answer in told}
    for attempt in held:
        decided = network.pop(_message(attempt), None)
        code = decided.response_code if decided is not None else "absent"
        api = answers.get(attempt.transaction, "unanswered")
        told_well = api in {attempt.status, "unanswered", "pending_verification"}
        if not (_fits(attempt, decided) and told_well):
            disagree.append(
                {"payment": attempt.intent, "api": api, "ledger": attempt.status, "network": code}
            )
    lost.extend(f"{name} {rrn}" for name, rrn, _ in network)
    return Agreement(
        sent=sent,
        answered=len(told),
        held=len(by_transaction),
        carried=decisions,
        lost=tuple(lost),
        duplicated=tuple(duplicated),
        disagree=tuple(disagree),
    )


def _message(row: Held | Carried) -> tuple[str, str, str]:
    """What names a message at both ends; a repeat differs in the last digit of its type only."""
    return row.network, row.rrn, row.mti[:3]


def _fits(row: Held, decided: Carried | None) -> bool:
    """Whether the ledger's status can be true beside what the network did."""
    if row.result == "not_sent":
        return decided is None
    if row.status not in DECIDED:  # pending_verification: either may be true
        return True
    if decided is None or decided.amount_minor != row.amount_minor:
        return False
    return DECIDED[row.status] == (decided.response_code in APPROVED_CODES)
