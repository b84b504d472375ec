"""What an answer echoes, and what stands in it besides."""

from __future__ import annotations

import pytest

from network_sim.messages import (
    advice_answer,
    authorization_answer,
    found,
    make_partial,
    plain_answer,
)
from switch.iso8583 import Dialect
from tests.support.network import management, reversal, sale


@pytest.mark.parametrize("mti", ["0100", "0101", "0200", "0201"])
def test_an_authorization_answer_repeats_what_the_dialect_asks(mti: str, dialect: Dialect) -> None:
    """Every element the dialect wants echoed returns unchanged, under the answering MTI."""
    fields = sale({0: mti})
    answer = authorization_answer(fields, "05", "1122")
    assert answer[0] == f"{mti[:2]}10"
    assert {number: answer[number] for number in dialect.echo} == {
        number: fields[number] for number in dialect.echo
    }


def test_an_approval_carries_an_approval_code() -> None:
    """Six characters in DE 38, the same each time."""
    answer = authorization_answer(sale({11: "000123"}), "00", "1122")
    assert (answer[38], answer[39]) == ("321000", "00")


@pytest.mark.parametrize(("code", "settles"), [("00", "1122"), ("85", "1122"), ("51", None)])
def test_an_approval_carries_its_settlement_date(code: str, settles: str | None) -> None:
    """DE 15 says on which date it counts; a decline counts on none."""
    assert authorization_answer(sale(), code, "1122").get(15) == settles


def test_a_partial_approval_tells_both_amounts() -> None:
    """DE 4 what was approved, DE 54 what was asked for, twenty characters."""
    answer = authorization_answer(sale(), "10", "1122")
    make_partial(answer, 600)
    assert (answer[4], answer[54]) == ("000000000600", "0057840C000000002499")


@pytest.mark.parametrize(
    ("code", "approval", "approved", "told"),
    [
        ("00", "321000", 2499, "00321000" + "000000002499" + "0"),
        ("10", "321000", 600, "10321000" + "000000000600" + "1"),
        ("51", "", 0, "51      " + "000000000000" + "0"),
    ],
)
def test_an_inquirys_answer_tells_the_original_outcome(
    code: str, approval: str, approved: int, told: str
) -> None:
    """DE 62: response code, approval code, amount, whether it was reversed."""
    answer = found(
        {39: "00"},
        response_code=code,
        approval_code=approval,
        approved=approved,
        reversed_=told.endswith("1"),
    )
    assert answer[62] == told


@pytest.mark.parametrize(("settles", "expected"), [("1122", "1122"), ("", None)])
def test_an_advices_answer_carries_a_date_where_money_moved(
    settles: str, expected: str | None
) -> None:
    """The acquirer's totals need it."""
    fields = reversal(sale(), {11: "000124"})
    assert advice_answer(fields, "00", settles).get(15) == expected


def test_a_decline_carries_no_approval_code() -> None:
    """DE 38 belongs to approvals."""
    assert 38 not in authorization_answer(sale(), "51", "1122")


@pytest.mark.parametrize("number", [14, 18, 22, 43])
def test_an_answer_leaves_out_what_is_the_acquirers_business(number: int) -> None:
    """Expiry, merchant category, entry mode and address do not return."""
    assert number not in authorization_answer(sale(), "00", "1122")


@pytest.mark.parametrize(("number", "text"), [(33, "500001"), (102, "TOKEN-1")])
def test_optional_echoes_return_where_present(number: int, text: str) -> None:
    """DE 33 and DE 102 are echoed, and absent where the request has none."""
    assert authorization_answer(sale({number: text}), "00", "1122")[number] == text
    assert number not in authorization_answer(sale(), "00", "1122")


def test_the_card_verification_code_does_not_return() -> None:
    """DE 48 of a request never stands in its answer."""
    fields = sale({48: "9203123"})
    assert 48 not in authorization_answer(fields, "00", "1122")
    assert 48 not in plain_answer(fields, "30")


def test_a_plain_answer_echoes_what_there_is() -> None:
    """An incomplete request gets an answer all the same."""
    assert plain_answer({0: "0200", 11: "000123"}, "30") == {0: "0210", 11: "000123", 39: "30"}


def test_a_reversals_answer_echoes_the_original_data() -> None:
    """DE 90 returns, so that the acquirer knows which message is meant."""
    fields = reversal(sale(), {11: "000124"})
    answer = plain_answer(fields, "00")
    assert (answer[0], answer[90]) == ("0430", fields[90])


def test_an_answer_is_not_answered() -> None:
    """Two hosts that answered answers would never stop."""
    with pytest.raises(ValueError, match="0810"):
        plain_answer({**management("301"), 0: "0810"}, "00")
