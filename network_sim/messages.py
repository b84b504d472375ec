"""Answers of the network: what an answer echoes, and what stands in it besides.

The echoes are column E of the DE matrix of NET87B (`docs/acquirers.md`). Key 0 of a field
dictionary is the MTI; element numbers stand as digits here because this page is about them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from switch.iso8583.mti import response_mti

APPROVED: Final = "00"
DO_NOT_HONOR: Final = "05"
IN_PROGRESS: Final = "09"
PARTIALLY_APPROVED: Final = "10"
INVALID_TRANSACTION: Final = "12"
INVALID_AMOUNT: Final = "13"
NO_ACTION: Final = "21"
NOT_FOUND: Final = "25"
FORMAT_ERROR: Final = "30"
NOT_SUPPORTED: Final = "40"
EXPIRED_CARD: Final = "54"
VERIFIED: Final = "85"
DUPLICATE: Final = "94"

APPROVALS: Final = frozenset({APPROVED, "08", PARTIALLY_APPROVED, "11", VERIFIED})

AUTHORIZATION_ANSWERS: Final = {mti: response_mti(mti) for mti in ("0100", "0101", "0200", "0201")}
CAPTURES: Final = frozenset({"0220", "0221"})
REVERSALS: Final = frozenset({"0400", "0401", "0420", "0421"})
INQUIRIES: Final = frozenset({"0600", "0601"})
RECONCILIATIONS: Final = frozenset({"0500", "0501", "0520", "0521"})
QUESTIONS: Final = INQUIRIES | RECONCILIATIONS  # move nothing
HANDLED: Final = frozenset(AUTHORIZATION_ANSWERS) | CAPTURES | REVERSALS | QUESTIONS

REFUND: Final = "20"  # the first two digits of DE 3
VERIFICATION: Final = "38"  # the one request whose amount is zero
ANY_CLASS: Final = frozenset({REFUND, VERIFICATION})  # by the same message on every network
ZERO_AMOUNT: Final = "000000000000"
AMOUNT_DIGITS: Final = 12
_ORIGINAL_AMOUNT: Final = "0057"  # DE 54: account type not said, amount type: as asked for

_ECHOED = (2, 3, 4, 7, 11, 12, 13, 32, 33, 37, 41, 42, 49, 70, 90, 95, 102)


def authorization_answer(
    fields: Mapping[int, str], response_code: str, settles: str
) -> dict[int, str]:
    """The 0110 or 0210 to a complete request; `settles` is DE 15 of an approval.

    DE 38 is the STAN backwards: as arbitrary to the acquirer as any, and the same for a repeat.
    Spelled out, and not a loop over `_ECHOED`, because every message under load comes by here.
    """
    response = {
        0: AUTHORIZATION_ANSWERS[fields[0]],
        2: fields[2],  # PAN
        3: fields[3],  # processing code
        4: fields[4],  # amount
        7: fields[7],  # transmission date and time
        11: fields[11],  # STAN
        12: fields[12],  # local time
        13: fields[13],  # local date
        32: fields[32],  # acquirer id
        37: fields[37],  # RRN
        39: response_code,
        41: fields[41],  # terminal id
        42: fields[42],  # card acceptor id
        49: fields[49],  # currency
    }
    if response_code == APPROVED or response_code in APPROVALS:
        response[15] = settles
        response[38] = fields[11][::-1]
    if 33 in fields:
        response[33] = fields[33]
    if 102 in fields:
        response[102] = fields[102]
    return response


def advice_answer(fields: Mapping[int, str], response_code: str, settles: str) -> dict[int, str]:
    """The 0230, 0410 or 0430 to a complete message; `settles` is DE 15 where something moved."""
    answer = plain_answer(fields, response_code)
    if settles:
        answer[15] = settles
    return answer


def make_partial(answer: dict[int, str], approved: int) -> None:
    """Turn an approval into one of a part: DE 4 says how much, DE 54 what was asked for."""
    answer[54] = f"{_ORIGINAL_AMOUNT}{answer[49]}C{answer[4]}"
    answer[4] = f"{approved:0{AMOUNT_DIGITS}d}"


def found(
    answer: Mapping[int, str],
    *,
    response_code: str,
    approval_code: str,
    approved: int,
    reversed_: bool,
) -> dict[int, str]:
    """An 0610 that tells what became of a message, in DE 62.

    DE 62 is the original's DE 39 (2), its DE 38 filled with spaces (6), the amount approved (12),
    and 1 if it was reversed, else 0.
    """
    told = f"{response_code}{approval_code:6}{approved:0{AMOUNT_DIGITS}d}{int(reversed_)}"
    return {**answer, 39: APPROVED, 62: told}


def plain_answer(fields: Mapping[int, str], response_code: str) -> dict[int, str]:
    """The answer to any request or advice, complete or not: what it must echo, and DE 39.

    Raises:
        ValueError: the message is itself an answer.
    """
    response = {number: fields[number] for number in _ECHOED if number in fields}
    return {0: response_mti(fields[0]), **response, 39: response_code}
