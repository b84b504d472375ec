"""Three-way agreement: what merchants were told, what the ledger holds, what the network decided.

Pure. The three sources are independent: recorded HTTP answers, rows read with plain SQL, and the
simulated network's own file. Two things are compared, each for itself:

- a transaction: what the merchant was told of it, and what it is by the ledger;
- a message: what the ledger says came of the attempt, and what the network did about it.

A message is named by (network, RRN, STAN, message type): on a dual-message network a charge is two
of them under one RRN, and what follows it (reversals, inquiries) carries that RRN too. Each kind of
attempt has its own rule; one without a rule is a fault of this comparison, and says so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Final

import attrs
from msgspec import Struct

APPROVED_CODES: Final = frozenset({"00", "08", "10", "11", "85"})
NOTHING_FOUND_CODES: Final = frozenset({"21", "25"})  # to an advice: there is nothing to undo
# Refusals of a message as such: nothing was decided, so the network has no line of it.
UNDECIDED_CODES: Final = frozenset({"09", "30", "63", "94", "96"})
APPROVED: Final = frozenset({"approved", "partial"})
OPEN_STATUSES: Final = frozenset({"pending", "pending_verification", "reversing"})


class UnknownKindError(Exception):
    """An attempt of a kind that nothing here knows how to compare; names the kind."""


class Told(Struct, frozen=True):
    """One answer that a merchant got to a charge."""

    intent: str
    transaction: str
    status: str  # succeeded | failed | pending_verification | …


class Held(Struct, frozen=True):
    """One attempt as the ledger holds it, with its transaction's status."""

    intent: str
    transaction: str
    status: str  # of the transaction, by the latest outcome that moved it
    network: str
    rrn: str
    result: str  # of the attempt's own latest outcome, "" without one
    amount_minor: int
    mti: str = "0200"
    kind: str = "request"  # request | completion | reversal | release | inquiry
    stan: str = ""
    response_code: str = ""  # of the attempt's own latest outcome, "" without one


class Carried(Struct, frozen=True):
    """One decision as the network recorded it."""

    network: str
    rrn: str
    response_code: str
    amount_minor: int
    mti: str = "0200"
    stan: str = ""


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
    """Compare the three sources after every payment has come to rest.

    Raises:
        UnknownKindError: the ledger holds an attempt that there is no rule for.
    """
    network: dict[tuple[str, ...], Carried] = {}
    duplicated: list[str] = []
    decisions = 0
    for row in carried:
        decisions += 1
        if _message(row) in network:
            duplicated.append(f"{row.network} {row.rrn}")
        network[_message(row)] = row
    attempts: defaultdict[str, list[Held]] = defaultdict(list)  # by transaction
    for attempt in held:
        attempts[attempt.transaction].append(attempt)
    charged = Counter(rows[0].intent for rows in attempts.values() if _is_charged(rows))
    duplicated.extend(intent for intent, count in charged.items() if count > 1)

    lost = [answer.intent for answer in told if answer.transaction not in attempts]
    answers = {answer.transaction: answer.status for answer in told}
    disagree: list[dict[str, str]] = []
    for transaction, rows in attempts.items():
        decided = [network.pop(_message(row), None) for row in rows]
        api = answers.get(transaction, "unanswered")
        fitting = [_fits(row, line) for row, line in zip(rows, decided, strict=True)]
        if not (all(fitting) and _is_consistent(rows) and _is_told_well(api, rows[0].status)):
            disagree.append(
                {
                    "payment": rows[0].intent,
                    "api": api,
                    "ledger": rows[0].status,
                    "attempts": _shown(f"{row.kind} {row.result or 'open'}" for row in rows),
                    "network": _shown(line.response_code if line else "absent" for line in decided),
                }
            )
    lost.extend(f"{line.network} {line.rrn}" for line in network.values())
    return Agreement(
        sent=sent,
        answered=len(told),
        held=len(attempts),
        carried=decisions,
        lost=tuple(lost),
        duplicated=tuple(duplicated),
        disagree=tuple(disagree),
    )


def together(sent: int, agreements: Sequence[Agreement]) -> Agreement:
    """What several comparisons say, each of payments that no other one is about."""
    return Agreement(
        sent=sent,
        answered=sum(one.answered for one in agreements),
        held=sum(one.held for one in agreements),
        carried=sum(one.carried for one in agreements),
        lost=tuple(chain(*(one.lost for one in agreements))),
        duplicated=tuple(chain(*(one.duplicated for one in agreements))),
        disagree=tuple(chain(*(one.disagree for one in agreements))),
    )


def _message(row: Held | Carried) -> tuple[str, ...]:
    """What names a message at both ends; a repeat differs in the last digit of its type only."""
    return row.network, row.rrn, row.stan, row.mti[:3]


def _shown(words: Iterable[str]) -> str:
    return ", ".join(words)


def _is_charged(rows: Sequence[Held]) -> bool:
    return rows[0].status == "succeeded"


def _is_told_well(api: str, status: str) -> bool:
    """Whether a merchant was told what is so, or that it was still open."""
    return api == "unanswered" or api in OPEN_STATUSES or api == status


def _is_consistent(rows: Sequence[Held]) -> bool:
    """Whether the ledger's own word on a transaction rests on one of its requests."""
    words = {row.result for row in rows if row.kind == "request"}
    status = rows[0].status
    if status == "succeeded":
        return not words.isdisjoint({*APPROVED, "manual"})
    return status != "failed" or words.isdisjoint(APPROVED)


def _request_fits(row: Held, decided: Carried | None) -> bool:
    """Approved and declined are the network's words; of an unknown one either may be true."""
    if row.result in APPROVED:
        return _is_approved(row, decided)
    if row.result == "declined":
        if decided is None:
            return row.response_code in UNDECIDED_CODES
        return decided.response_code not in APPROVED_CODES and _same_amount(row, decided)
    if row.result == "not_sent":
        return decided is None
    return True


def _advice_fits(row: Held, decided: Carried | None) -> bool:
    """What was acknowledged the network has; what is repeated still it may have."""
    return row.result not in APPROVED or _is_approved(row, decided)


def _undoing_fits(row: Held, decided: Carried | None) -> bool:
    """Likewise; to what never came to it a network may answer that there is nothing to undo."""
    if decided is not None and decided.response_code in NOTHING_FOUND_CODES:
        return True
    return _advice_fits(row, decided)


def _inquiry_fits(_row: Held, decided: Carried | None) -> bool:
    """A question moves nothing, so a network has no line of it, whatever it answered."""
    return decided is None


_RULES: Final[dict[str, Callable[[Held, Carried | None], bool]]] = {
    "request": _request_fits,
    "completion": _advice_fits,
    "reversal": _undoing_fits,
    "release": _undoing_fits,
    "inquiry": _inquiry_fits,
}


def _fits(row: Held, decided: Carried | None) -> bool:
    """Whether what came of an attempt by the ledger can be true beside what the network did."""
    rule = _RULES.get(row.kind)
    if rule is None:
        raise UnknownKindError(f"there is no rule for attempts of kind {row.kind!r}")
    return rule(row, decided)


def _is_approved(row: Held, decided: Carried | None) -> bool:
    return (
        decided is not None
        and decided.response_code in APPROVED_CODES
        and _same_amount(row, decided)
    )


def _same_amount(row: Held, decided: Carried) -> bool:
    return decided.amount_minor == row.amount_minor
