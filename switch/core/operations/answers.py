"""What an answer, silence or a failure says about a message that is no charge. Pure.

A message of an order or of a queue ends in one finding. Which one an answer makes depends on what
was asked: requests, advices and inquiries are judged apart. Whether a finding needs a decision
depends on who repeats the message: what stands in store-and-forward is sent again by its row.
"""

from __future__ import annotations

from typing import Final, Protocol

from switch.core.echoes import Echoes
from switch.core.findings import (
    Fields,
    Finding,
    judge_advice,
    judge_inquiry,
    judge_request,
    not_sent,
)
from switch.core.operations.records import Letter
from switch.core.response_codes import ResponseCodes
from switch.iso8583.errors import CodecError
from switch.iso8583.mti import FINANCIAL_REQUEST

IN_PROGRESS: Final = "09"  # DE 39: the time starts over, once


class Judge(Protocol):
    """`switch.core.findings.judge_request`, or one of its neighbors."""

    def __call__(
        self, sent: Fields, answer: Fields, *, codes: ResponseCodes, echoes: Echoes, now_us: int
    ) -> Finding:
        """What an answer tells."""


def judge_of(letter: Letter) -> Judge:
    """Who judges the answer to a letter."""
    if letter.kind == "inquiry":
        return judge_inquiry
    return judge_request if letter.mti == FINANCIAL_REQUEST else judge_advice


def is_in_progress(letter: Letter, finding: Finding) -> bool:
    """Whether a network has said no more than that it is at work: only about a 0200, and by 09."""
    return (
        letter.mti == FINANCIAL_REQUEST
        and finding.response_code == IN_PROGRESS
        and finding.reason == "undecided"
    )


def spoiled(error: Exception, *, forwarded: bool) -> Finding:
    """What it means that a letter could not be encoded: not a byte of it has left.

    An advice that the dialect cannot express goes to an operator, for no repeat of it will fare
    better; any other fault may pass, and whatever is no advice is not repeated.
    """
    if forwarded and isinstance(error, CodecError):
        return Finding("poison", "encode_failed")
    return not_sent("encode_failed")


def needs_decision(letter: Letter, finding: Finding, *, forwarded: bool) -> bool:
    """Whether the ledger must hear of a finding.

    Of silence about what store-and-forward repeats it need not: the row says when it is sent again.
    Of silence about a request it must, for somebody may wait, and a doubt begins with it.
    """
    silent = finding.result in {"unknown", "not_sent", "retry"}
    return not (silent and forwarded and letter.kind != "request")
