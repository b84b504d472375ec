"""Answers of the network: what an answer echoes, and what stands in it besides.

The echoes are column E of the DE matrix of NET87B (`docs/simulator.md`). Key 0 of a field
dictionary is the MTI; element numbers stand as digits here because this page is about them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from switch.iso8583.mti import response_mti

APPROVED: Final = "00"
DO_NOT_HONOR: Final = "05"
INVALID_AMOUNT: Final = "13"
FORMAT_ERROR: Final = "30"
NOT_SUPPORTED: Final = "40"
EXPIRED_CARD: Final = "54"
DUPLICATE: Final = "94"

AUTHORIZATION_ANSWERS: Final = {mti: response_mti(mti) for mti in ("0100", "0101", "0200", "0201")}
REVERSAL_ANSWERS: Final = {mti: response_mti(mti) for mti in ("0400", "0401", "0420", "0421")}
HANDLED: Final = frozenset({*AUTHORIZATION_ANSWERS, *REVERSAL_ANSWERS})

VERIFICATION: Final = "38"  # the first two digits of DE 3: the one request whose amount is zero
ZERO_AMOUNT: Final = "000000000000"

_ECHOED = (2, 3, 4, 7, 11, 12, 13, 32, 33, 37, 41, 42, 49, 70, 90, 95, 102)


def authorization_answer(fields: Mapping[int, str], response_code: str) -> dict[int, str]:
    """The 0110 or 0210 to a complete request.

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
    if response_code == APPROVED:
        response[38] = fields[11][::-1]
    if 33 in fields:
        response[33] = fields[33]
    if 102 in fields:
        response[102] = fields[102]
    return response


def plain_answer(fields: Mapping[int, str], response_code: str) -> dict[int, str]:
    """The answer to any request or advice, complete or not: what it must echo, and DE 39.

    Raises:
        ValueError: the message is itself an answer.
    """
    response = {number: fields[number] for number in _ECHOED if number in fields}
    return {0: response_mti(fields[0]), **response, 39: response_code}
