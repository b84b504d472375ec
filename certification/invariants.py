"""What must hold at the end of every case, whatever happened: I1 to I9 of three witnesses. Pure.

The witnesses: what the merchant was told, what the ledger holds and has booked (plain SQL), and
what the network itself saw and decided. Each check returns the violations it finds, in words. What
is not checked here the report names: `ABSENT`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from certification.books import books_agree
from certification.trace import Line
from certification.witnesses import Attempt, Booked, Movement, still_open
from network_sim.journal import Entry
from switch.iso8583 import private
from switch.iso8583.mti import fold

ABSENT: Final = {
    "I8 stream": "nothing committed is missing from the event stream: turnout chaos compares them",
}
FINAL_ADVICE_CODES: Final = frozenset({"00", "94", "25", "21"})
APPROVALS: Final = frozenset({"00", "08", "10", "11", "85"})
SHOWN_MAX: Final = 3  # violations of one invariant that a report shows
CVC_TAG: Final = "92"
CLOCK_SLACK_US: Final = 2_000  # between the ledger's clock and ours: both are this machine's


@attrs.frozen(kw_only=True)
class Told:
    """One answer to the merchant."""

    intent: str
    transaction: str
    type: str
    status: str
    key: str  # the idempotency key it was asked with


@attrs.frozen(kw_only=True)
class Witnesses:
    """Everything that is known of one case's network at rest."""

    told: Sequence[Told]
    attempts: Sequence[Attempt]
    movements: Sequence[Movement]
    postings: Sequence[Booked]
    exceptions: Sequence[str]
    wire: Sequence[Line]
    entries: Sequence[Entry]
    leaks: Sequence[str]  # places where a whole card number of this case was found


def check_all(case: Witnesses) -> dict[str, list[str]]:
    """The violations by invariant; an empty list where it holds."""
    checks = {
        "I1": _recorded_before_sent,
        "I2": _ended_or_visible,
        "I3": _one_live_operation,
        "I4": _told_what_stands,
        "I5": _reversals_kept,
        "I6": _sums_agree,
        "I7": _no_card_data,
        "I8": _numbers_unique,
        "I9": _booked,
    }
    return {name: _first(list(check(case))) for name, check in checks.items()}


def _first(violations: list[str]) -> list[str]:
    """The first few, and how many more there are."""
    more = len(violations) - SHOWN_MAX
    return [*violations[:SHOWN_MAX], f"and {more} more"] if more > 0 else violations


def _financial(case: Witnesses) -> list[Line]:
    return [
        line
        for line in case.wire
        if line.direction == "in" and line.mti and line.mti[1] in "12456" and line.mti[2] in "02"
    ]


def _identity(fields_mti: str, stan: str, de7: str, rrn: str) -> tuple[str, str, str, str]:
    return fold(fields_mti), stan, de7, rrn


def _recorded_before_sent(case: Witnesses) -> Iterator[str]:
    """I1: every financial message on the wire has its attempt, and the attempt was first."""
    known = {_identity(a.mti, a.stan, a.de7, a.rrn): a for a in case.attempts}
    for line in _financial(case):
        if line.mti[1] == "5":
            continue  # totals are no payment's
        fields = line.fields
        key = _identity(line.mti, fields.get(11, ""), fields.get(7, ""), fields.get(37, ""))
        attempt = known.get(key)
        if attempt is None:
            yield f"{line.mti} STAN {key[1]} was sent and is in no ledger"
        elif attempt.created_at_us > line.at_us + CLOCK_SLACK_US:
            yield f"{line.mti} STAN {key[1]} arrived before its attempt was recorded"


def _ended_or_visible(case: Witnesses) -> Iterator[str]:
    """I2: every attempt has a terminal outcome, or a person is shown it."""
    for attempt in still_open(case.attempts):
        state = attempt.resolution or attempt.result or "no outcome"
        yield f"{attempt.mti} STAN {attempt.stan} ({attempt.kind}) is still open: {state}"


def _one_live_operation(case: Witnesses) -> Iterator[str]:
    """I3: no intent is charged twice, and one idempotency key has one answer."""
    charged = Counter(
        m.intent for m in case.movements if m.type == "charge" and m.status == "succeeded"
    )
    for intent, count in charged.items():
        if count > 1:
            yield f"{intent} was charged {count} times"
    by_key: dict[str, set[str]] = defaultdict(set)
    for answer in case.told:
        by_key[answer.key].add(answer.transaction)
    for transactions in by_key.values():
        if len(transactions) > 1:
            yield f"one idempotency key was answered with {len(transactions)} transactions"
    requests = Counter(
        (attempt.transaction, attempt.mti)
        for attempt in case.attempts
        if attempt.kind == "request" and attempt.result not in {"declined", "not_sent"}
    )
    for (transaction, mti), count in requests.items():
        if count > 1:
            yield f"{transaction} has {count} messages {mti} that may have moved money"


def _told_what_stands(case: Witnesses) -> Iterator[str]:
    """I4: whoever heard "succeeded" has a committed success that nothing reverses."""
    states = {movement.transaction: movement for movement in case.movements}
    reversed_ = {a.transaction for a in case.attempts if a.kind == "reversal"}
    for answer in case.told:
        if answer.status not in {"succeeded", "failed"}:
            continue
        movement = states.get(answer.transaction)
        if movement is None:
            yield f"{answer.transaction} was told as {answer.status} and is not in the ledger"
        elif movement.status != answer.status:
            yield f"{answer.transaction} was told as {answer.status} and is {movement.status}"
        elif answer.status == "succeeded" and answer.transaction in reversed_:
            yield f"{answer.transaction} was told as succeeded and has a reversal"


def _reversals_kept(case: Witnesses) -> Iterator[str]:
    """I5: a reversal is acknowledged by the network, or waits where it is seen."""
    acknowledged = {
        (line.fields.get(11, ""), line.fields.get(7, ""))
        for line in case.wire
        if line.direction == "out"
        and line.mti in {"0410", "0430"}
        and line.fields.get(39) in FINAL_ADVICE_CODES
    }
    for attempt in case.attempts:
        if attempt.mti not in {"0400", "0420"} or attempt.queued:
            continue
        if attempt.result == "not_sent" or (attempt.result == "unknown" and attempt.mti == "0400"):
            continue  # its 0420 takes over
        if attempt.resolution == "manual" or attempt.result == "declined":
            continue
        if (attempt.stan, attempt.de7) not in acknowledged:
            yield f"{attempt.mti} STAN {attempt.stan} ended without an acknowledgment"


def _sums_agree(case: Witnesses) -> Iterator[str]:
    """I6: what the network posted and holds is what the ledger says, or an exception is open."""
    if case.exceptions:
        return
    posted = sum(entry.posted_change for entry in case.entries)
    booked = sum(map(_posted_by, case.movements))
    if posted != booked:
        yield f"the network posted {posted}, the ledger {booked}"
    held = sum(entry.held_change for entry in case.entries)
    intents = {m.intent: m for m in case.movements}
    capturable = sum(m.capturable_minor for m in intents.values())
    if held != capturable:
        yield f"the network holds {held}, the ledger {capturable}"


def _posted_by(movement: Movement) -> int:
    if movement.status != "succeeded":
        return 0
    if movement.type == "capture":
        return movement.amount_minor
    if movement.type == "charge" and movement.capture_method == "automatic":
        return movement.amount_minor
    return -movement.amount_minor if movement.type == "refund" else 0


def _no_card_data(case: Witnesses) -> Iterator[str]:
    """I7: no clear card number outside the wire, and no CVC behind the first request."""
    yield from case.leaks
    for line in _financial(case):
        if line.mti in {"0100", "0200"} or 48 not in line.fields:
            continue
        if CVC_TAG in private.decode(line.fields[48]):
            yield f"a {line.mti} carries a CVC"


def _booked(case: Witnesses) -> Iterator[str]:
    """I9: each movement of money is booked once and in full."""
    return books_agree(case.movements, case.postings)


def _numbers_unique(case: Witnesses) -> Iterator[str]:
    """I8: no (acquirer, DE 7, STAN) names two messages."""
    recorded = Counter((a.acquirer_id, a.de7, a.stan) for a in case.attempts)
    for (_, de7, stan), count in recorded.items():
        if count > 1:
            yield f"STAN {stan} at {de7} was given to {count} attempts"
    seen: dict[tuple[str, str, str], set[tuple[str, str]]] = defaultdict(set)
    for line in case.wire:
        if line.direction != "in" or not line.mti or line.mti[2] not in "02":
            continue
        fields = line.fields
        numbers = (fields.get(32, ""), fields.get(7, ""), fields.get(11, ""))
        seen[numbers].add((fold(line.mti), fields.get(37, "")))
    for (_, de7, stan), uses in seen.items():
        if len(uses) > 1:
            yield f"STAN {stan} at {de7} was sent with {len(uses)} different messages"
