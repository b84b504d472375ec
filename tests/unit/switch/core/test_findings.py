"""Every answer maps to one finding, and doubt is never a decline."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from switch.core.echoes import Echoes
from switch.core.findings import (
    Finding,
    judge_advice,
    judge_inquiry,
    judge_request,
    not_sent,
    settlement_date,
    unknown,
)
from switch.core.response_codes import ResponseCodes, load_response_codes

CODES = load_response_codes()
ECHOES = Echoes((2, 3, 4, 7, 11, 32, 37, 41, 42, 49))
NOW_US = 1_800_000_000_000_000  # 2027-01-15
PAN = "4242424242424242"
SENT = {
    0: "0200",
    3: "000000",
    4: "000000002499",
    7: "0115080000",
    11: "000017",
    32: "400001",
    37: "0ABCDEFGHIJK",
    41: "TERM0001",
    42: "DEMOSHOP0000001",
    49: "840",
}
INQUIRY = SENT | {0: "0600", 90: "0200000016011507595900000400001" + "0" * 11}


def answer(code: str, **changes: str | None) -> dict[int, str]:
    """The answer that echoes what was sent, with changes by `de_N`; None leaves one out."""
    fields = SENT | {0: "0210", 39: code}
    return changed(fields, changes)


def changed(fields: dict[int, str], changes: dict[str, Any]) -> dict[int, str]:
    """Fields with some replaced or left out."""
    for name, value in changes.items():
        if value is None:
            fields.pop(int(name[3:]))
        else:
            fields[int(name[3:])] = value
    return fields


def request(code: str, **changes: str | None) -> Finding:
    """What a request's answer tells."""
    return judge_request(
        SENT, answer(code, **changes), codes=CODES, echoes=ECHOES, now_us=NOW_US, pan=PAN
    )


def advice(code: str, **changes: str | None) -> Finding:
    """What an advice's answer tells."""
    return judge_advice(SENT, answer(code, **changes), codes=CODES, echoes=ECHOES, now_us=NOW_US)


def inquiry(code: str, held: str, **changes: str | None) -> Finding:
    """What an inquiry's answer tells."""
    fields = changed(INQUIRY | {0: "0610", 39: code, 62: held}, changes)
    return judge_inquiry(INQUIRY, fields, codes=CODES, echoes=ECHOES, now_us=NOW_US)


def test_an_approval_carries_its_code_and_its_date() -> None:
    """DE 38, and DE 15 with its year."""
    finding = request("00", de_38="A1B2C3", de_15="0116")
    assert finding == Finding("approved", "answered", "00", "A1B2C3", settles_on="2027-01-16")


def test_a_partial_approval_carries_its_amount() -> None:
    """DE 4 is lower, and that is no wrong echo."""
    finding = request("10", de_4="000000000600")
    assert (finding.result, finding.approved_minor) == ("partial", 600)


@pytest.mark.parametrize("amount", ["000000000000", "000000002499", "000000009999"])
def test_a_partial_approval_of_no_part_is_doubt(amount: str) -> None:
    """Nothing, everything, and more than everything."""
    assert request("10", de_4=amount).result == "unknown"


@pytest.mark.parametrize(
    ("code", "decline", "class_"),
    [
        ("51", "insufficient_funds", "soft"),
        ("41", "lost_card", "hard"),
        ("54", "expired_card", "data"),
        ("05", "generic_decline", "generic"),
        ("30", "processing_error", "generic"),
        ("ZZ", "generic_decline", "generic"),
    ],
)
def test_a_decline_has_a_reason_and_a_class(code: str, decline: str, class_: str) -> None:
    """For the merchant, and for the rules on trying again."""
    finding = request(code)
    assert (finding.result, finding.decline_code, finding.decline_class) == (
        "declined",
        decline,
        class_,
    )


@pytest.mark.parametrize("code", ["09", "68", "94", "85"])
def test_some_codes_decide_nothing(code: str) -> None:
    """In progress, late, duplicate; and a verification's approval is none of a sale."""
    assert request(code).result == "unknown"


def test_a_verification_is_approved_by_its_own_code() -> None:
    """85, where no amount was asked for."""
    sent = SENT | {4: "0" * 12}
    fields = answer("85", de_4="0" * 12)
    found = judge_request(sent, fields, codes=CODES, echoes=ECHOES, now_us=NOW_US)
    assert found.result == "approved"


@pytest.mark.parametrize("de", [3, 4, 7, 11, 32, 37, 41, 42, 49])
@pytest.mark.parametrize("judge", [request, advice])
def test_a_wrong_echo_is_doubt(judge: Any, de: int) -> None:
    """MT03: not our answer, whatever it says; an element that is missing echoes nothing."""
    wrong = "9" * len(SENT[de])
    assert judge("00", **{f"de_{de}": wrong}).reason == "echo_mismatch"
    assert judge("00", **{f"de_{de}": None}).result == "unknown"
    assert judge("05", **{f"de_{de}": wrong}).result == "unknown"


def test_another_card_is_a_wrong_echo() -> None:
    """DE 2 may be absent, and must be ours where it is not."""
    assert request("00", de_2="4111111111111111").result == "unknown"
    assert request("00", de_2=PAN).result == "approved"


@pytest.mark.parametrize("judge", [request, advice])
def test_an_answer_without_a_code_is_doubt(judge: Any) -> None:
    """Nothing was said."""
    assert judge("00", de_39=None).reason == "response_code_missing"


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("00", "approved"),
        ("94", "approved"),
        ("08", "approved"),
        ("25", "nothing_found"),
        ("21", "nothing_found"),
        ("91", "retry"),
        ("96", "retry"),
        ("90", "retry"),
        ("09", "retry"),
        ("68", "retry"),
        ("30", "poison"),
        ("12", "poison"),
        ("40", "poison"),
        ("05", "poison"),
        ("ZZ", "poison"),
    ],
)
def test_an_advice_is_taken_in_or_not(code: str, result: str) -> None:
    """iso8583.md 2.3: final, retry, poison; nobody declines an advice."""
    assert advice(code).result == result


def held(code: str = "00", minor: int = 2499, flag: str = "0") -> str:
    """DE 62 about the original."""
    return f"{code}A1B2C3{minor:012d}{flag}"


def test_an_inquiry_tells_of_its_original() -> None:
    """Approved with its code, in part, or declined."""
    assert inquiry("00", held()) == Finding("approved", "answered", "00", "A1B2C3")
    part = inquiry("00", held("10", 600))
    assert (part.result, part.approved_minor) == ("partial", 600)
    refused = inquiry("00", held("51", 0))
    assert (refused.result, refused.decline_code) == ("declined", "insufficient_funds")


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        ("25", held(), "not_found"),
        ("09", held(), "no_word"),
        ("91", held(), "no_word"),
        ("96", held(), "no_word"),
        ("00", "", "inquiry_garbled"),
        ("00", held(flag="1"), "reversed_there"),
        ("00", held("09"), "undecided"),
        ("00", held("68"), "undecided"),
        ("00", held(minor=0), "approved_amount"),
        ("00", held(minor=2500), "approved_amount"),
    ],
)
def test_most_answers_to_an_inquiry_decide_nothing(code: str, text: str, reason: str) -> None:
    """IQ04 to IQ06: not found is never final, nor is anything but approved or declined."""
    finding = inquiry(code, text)
    assert (finding.result, finding.reason) == ("unknown", reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"de_90": None},
        {"de_90": "0100000016011507595900000400001" + "0" * 11},
        {"de_37": "0ABCDEFGHIJL"},
        {"de_4": "000000002498"},
        {"de_42": "OTHERSHOP000001"},
    ],
)
def test_an_inquiry_about_something_else_decides_nothing(changes: dict[str, Any]) -> None:
    """money.md 6: it matches on RRN, STAN, DE 7, amount and merchant, or it is not ours."""
    assert inquiry("00", held(), **changes).reason == "echo_mismatch"


def test_silence_and_what_did_not_leave_have_findings_too() -> None:
    """A merchant hears of the latter as of a network that is away."""
    assert unknown("timeout") == Finding("unknown", "timeout")
    assert not_sent("no_link").decline_code == "network_unavailable"


@pytest.mark.parametrize(
    ("de15", "now_us", "date"),
    [
        ("0115", NOW_US, "2027-01-15"),
        ("1231", NOW_US, "2026-12-31"),
        ("0101", NOW_US - 20 * 86_400_000_000, "2027-01-01"),
        ("0229", NOW_US, ""),
        ("0229", NOW_US + 400 * 86_400_000_000, "2028-02-29"),
        ("1350", NOW_US, ""),
        ("", NOW_US, ""),
        ("ABCD", NOW_US, ""),
    ],
)
def test_a_settlement_date_is_of_the_nearest_year(de15: str, now_us: int, date: str) -> None:
    """DE 15 has no year; what is no date is none."""
    assert settlement_date(de15, now_us) == date


def test_a_code_has_one_role_for_advices() -> None:
    """A table that says two things is refused."""
    with pytest.raises(ValueError, match="one role"):
        ResponseCodes(
            'version = "1"\n[default]\nclass = "generic"\n[codes]\n'
            '[advices]\nfinal = ["00"]\nretry = ["00"]\n'
        )


def test_findings_are_values() -> None:
    """Equal where they say the same."""
    assert replace(unknown("timeout"), reason="link_lost") == unknown("link_lost")
