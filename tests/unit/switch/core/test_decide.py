"""Every answer, silence or failure maps to one outcome, and doubt is never a decline."""

from __future__ import annotations

import pytest

from switch.core.decide import judge_answer, not_sent, unknown
from switch.core.messages import ECHOED, Acceptor, drop_card, sale_request
from switch.core.response_codes import ResponseCodes, load_response_codes

CODES = load_response_codes()
ACCEPTOR = Acceptor(
    terminal_id="TERM0001",
    card_acceptor_id="DEMOSHOP0000001",
    name_location=f"{'Demo shop Springfield US':40}",
    mcc="5999",
    country="840",
)


def request() -> dict[int, str]:
    """A sale of 24.99 as it is sent."""
    return sale_request(
        pan="4242424242424242",
        expiry="3012",
        cvc="123",
        amount_minor=2499,
        currency="usd",
        stan="000017",
        de7="0102030405",
        rrn="0ABCDEFGHIJK",
        acquirer_id="400001",
        acceptor=ACCEPTOR,
    )


def answer(code: str, **changes: str) -> dict[int, str]:
    """The answer that echoes the sale, with changes by `de_N`."""
    sent = request()
    fields = {de: sent[de] for de in (2, *ECHOED)} | {0: "0210", 39: code}
    if code == "00":
        fields[38] = "A1B2C3"
    for name, value in changes.items():
        fields[int(name[3:])] = value
    return fields


def test_an_approval_is_approved_with_its_code() -> None:
    """00 moves the transaction and the intent to succeeded."""
    decision = judge_answer(request(), answer("00"), CODES)
    assert (decision.result, decision.transaction_to, decision.intent_to) == (
        "approved",
        "succeeded",
        "succeeded",
    )
    assert (decision.response_code, decision.approval_code) == ("00", "A1B2C3")
    assert (decision.decline_code, decision.advice) == ("", "")


@pytest.mark.parametrize(
    ("code", "decline", "advice"),
    [
        ("05", "generic_decline", "use_other_card"),
        ("51", "insufficient_funds", "retry_later"),
        ("54", "expired_card", "use_other_card"),
        ("41", "lost_card", "do_not_retry"),
        ("43", "stolen_card", "do_not_retry"),
        ("82", "incorrect_cvc", "use_other_card"),
        ("91", "issuer_unavailable", "retry_later"),
        ("1A", "authentication_required", "authenticate"),
        ("ZZ", "generic_decline", "use_other_card"),
    ],
)
def test_declines_carry_code_and_advice(code: str, decline: str, advice: str) -> None:
    """A decline is a value with a reason; an unlisted code is a decline too."""
    decision = judge_answer(request(), answer(code), CODES)
    assert (decision.result, decision.transaction_to) == ("declined", "failed")
    assert (decision.decline_code, decision.advice) == (decline, advice)


@pytest.mark.parametrize("de", [2, *ECHOED])
def test_an_answer_that_is_no_echo_is_unknown(de: int) -> None:
    """A wrong element in an approval makes the outcome unknown, never approved or declined."""
    sent = request()
    wrong = answer("00", **{f"de_{de}": sent[de][:-1] + ("1" if sent[de][-1] != "1" else "2")})
    decision = judge_answer(sent, wrong, CODES, pan=sent[2])
    assert (decision.result, decision.reason) == ("unknown", "echo_mismatch")


def test_an_echoed_element_may_not_be_missing_but_the_pan_may() -> None:
    """DE 2 may be absent from an answer; DE 4 may not."""
    without_pan = answer("00")
    del without_pan[2]
    assert judge_answer(request(), without_pan, CODES, pan=request()[2]).result == "approved"
    without_amount = answer("00")
    del without_amount[4]
    assert judge_answer(request(), without_amount, CODES).result == "unknown"


@pytest.mark.parametrize("code", ["68", "09", "10", "85", "94"])
def test_codes_that_do_not_tell_the_outcome_are_unknown(code: str) -> None:
    """Late, in progress, partial, verify-only, seen before: nothing about a full sale is said."""
    decision = judge_answer(request(), answer(code), CODES)
    assert (decision.result, decision.transaction_to) == ("unknown", "pending_verification")
    assert decision.response_code == code


def test_an_answer_without_a_response_code_is_unknown() -> None:
    """DE 39 missing decides nothing."""
    silent = answer("00")
    del silent[39]
    assert judge_answer(request(), silent, CODES).reason == "response_code_missing"


def test_silence_is_unknown_and_not_sent_is_failed() -> None:
    """A missing answer is never a decline; an attempt that never left is a known failure."""
    assert unknown("timeout").intent_to == "pending_verification"
    assert (not_sent("too_old").transaction_to, not_sent("too_old").decline_code) == (
        "failed",
        "network_unavailable",
    )


def test_a_late_answer_is_judged_after_the_card_was_dropped() -> None:
    """With the card gone from memory the other echoes still decide."""
    sent = request()
    drop_card(sent)
    assert sent.keys() & {2, 14, 48} == set()
    assert judge_answer(sent, answer("00"), CODES).result == "approved"
    assert judge_answer(sent, answer("00", de_37="0ABCDEFGHIJL"), CODES).result == "unknown"


@pytest.mark.parametrize(
    ("code", "alarming"),
    [("00", False), ("05", False), ("91", False), ("30", True), ("92", True), ("ZZ", True)],
)
def test_codes_that_blame_us_or_mean_nothing_are_alarming(
    code: str,
    alarming: bool,  # noqa: FBT001
) -> None:
    """They are declines for the merchant and work for an engineer."""
    assert CODES.is_alarming(code) is alarming


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('version="1"\n[default]\nclass="generic"\n[codes]\n"5"={class="approve"}', "two letters"),
        ('version="1"\n[default]\nclass="generic"\n[codes]\n"05"={class="hard"}', "needs a code"),
        ('version="1"\n[default]\nclass="maybe"\n[codes]\n', "Invalid enum value"),
    ],
)
def test_a_wrong_table_is_refused(table: str, reason: str) -> None:
    """The table is checked when it is loaded."""
    with pytest.raises(ValueError, match=reason):
        ResponseCodes(table)
