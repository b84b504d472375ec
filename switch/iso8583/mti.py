"""Message type indicators: four digits, version, class, function, origin.

ISO 8583:1987. A response is its request with 10 added; a repeat has the origin digit 1.
"""

from __future__ import annotations

from typing import Final

AUTHORIZATION_REQUEST: Final = "0100"
AUTHORIZATION_RESPONSE: Final = "0110"
AUTHORIZATION_ADVICE: Final = "0120"
FINANCIAL_REQUEST: Final = "0200"
FINANCIAL_RESPONSE: Final = "0210"
FINANCIAL_ADVICE: Final = "0220"
FINANCIAL_ADVICE_REPEAT: Final = "0221"
FINANCIAL_ADVICE_RESPONSE: Final = "0230"
REVERSAL_REQUEST: Final = "0400"
REVERSAL_RESPONSE: Final = "0410"
REVERSAL_ADVICE: Final = "0420"
REVERSAL_ADVICE_REPEAT: Final = "0421"
REVERSAL_ADVICE_RESPONSE: Final = "0430"
RECONCILIATION_REQUEST: Final = "0500"
RECONCILIATION_RESPONSE: Final = "0510"
INQUIRY_REQUEST: Final = "0600"
INQUIRY_RESPONSE: Final = "0610"
NETWORK_MANAGEMENT_REQUEST: Final = "0800"
NETWORK_MANAGEMENT_RESPONSE: Final = "0810"

_RESPONSE_DIGIT: Final = {"0": "1", "2": "3"}  # request, advice
_REQUEST_DIGIT: Final = {"1": "0", "3": "2"}


def is_response(mti: str) -> bool:
    """Whether the function digit says that this answers something."""
    return mti[2] in _REQUEST_DIGIT


def response_mti(mti: str) -> str:
    """Return the MTI that answers a request or an advice: 0200 gives 0210, 0421 gives 0430.

    The repeat digit goes: a response to a repeat is a response to the message.

    Raises:
        ValueError: the MTI is itself an answer, or of a function nobody answers.
    """
    digit = _RESPONSE_DIGIT.get(mti[2])
    if digit is None:
        raise ValueError(f"MTI {mti} has no response")
    return f"{mti[:2]}{digit}{int(mti[3]) & ~1}"


def fold(mti: str) -> str:
    """Return what a message and its answer have in common, for matching one to the other.

    The function digit becomes that of the asking side and the repeat digit goes, so that 0200,
    0201 and 0210 fold to 0200, and 0420, 0421 and 0430 to 0420: an answer of one class or
    function can never match a question of another.
    """
    return f"{mti[:2]}{_REQUEST_DIGIT.get(mti[2], mti[2])}{int(mti[3]) & ~1}"
