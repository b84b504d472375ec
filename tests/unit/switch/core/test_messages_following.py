"""The parts of messages that follow: DE 62, DE 90, DE 95, and what is no part of one."""

from __future__ import annotations

import pickle

import pytest

from switch.core.messages_following import (
    Card,
    InquiryAnswer,
    MessageError,
    Numbers,
    Original,
    original_data,
    parse_inquiry_answer,
    repeat_mti,
    replacement_amounts,
)

ORIGINAL = Original("0100", Numbers("000017", "0102030405", "0ABCDEFGHIJK", "400001"), "A1B2C3")


def test_de_90_has_all_five_parts() -> None:
    """42 digits: MTI, STAN, DE 7, then two ids right-justified, the second of nobody."""
    text = original_data(ORIGINAL)
    assert text == "010000001701020304050000040000100000000000"
    assert len(text) == 42


@pytest.mark.parametrize(
    "numbers",
    [
        Numbers("17", "0102030405", "0ABCDEFGHIJK", "400001"),
        Numbers("000017", "030405", "0ABCDEFGHIJK", "400001"),
        Numbers("000017", "0102030405", "0ABCDEFGHIJK", "400001400001"),
    ],
)
def test_an_original_of_another_form_is_refused(numbers: Numbers) -> None:
    """Digits that slip by a place would name another message."""
    with pytest.raises(MessageError, match="DE 90"):
        original_data(Original("0100", numbers))


def test_de_95_says_what_stays() -> None:
    """42 characters, fees of nothing."""
    assert replacement_amounts(400) == "000000000400000000000000C00000000C00000000"
    assert len(replacement_amounts(999_999_999_999)) == 42


def test_repeats_have_the_repeats_mti_where_the_network_wants_it() -> None:
    """0421 after 0420, 0221 after 0220, 0401 after 0400."""
    assert [repeat_mti(mti, "repeat") for mti in ("0420", "0220", "0400")] == [
        "0421",
        "0221",
        "0401",
    ]
    assert repeat_mti("0420", "same") == "0420"


def test_de_62_tells_of_the_original() -> None:
    """Code, approval code, approved amount, and whether it was reversed."""
    assert parse_inquiry_answer("00A1B2C3" + f"{2499:012d}" + "0") == InquiryAnswer(
        "00", "A1B2C3", 2499, reversed=False
    )
    assert parse_inquiry_answer("51      " + "0" * 12 + "0") == InquiryAnswer(
        "51", "", 0, reversed=False
    )
    assert parse_inquiry_answer("00A1B2C3" + f"{2499:012d}" + "1").reversed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        "00A1B2C3" + f"{2499:012d}",
        "00A1B2C3" + f"{2499:012d}" + "2",
        "00A1B2C3" + f"{2499:012d}" + "00",
        "00A1B2C3" + "24.99".rjust(12) + "0",
        "00A1B2C3" + "\N{ARABIC-INDIC DIGIT ZERO}" * 12 + "0",
        " 0A1B2C3" + f"{2499:012d}" + "0",
        "00A1B2C3" + f"{2499:011d}" + "0",
    ],
)
def test_a_garbled_de_62_is_refused(text: str) -> None:
    """It names the part, never the data."""
    with pytest.raises(MessageError, match="DE 62") as caught:
        parse_inquiry_answer(text)
    assert "2499" not in str(caught.value)


def test_a_released_card_is_neither_printed_nor_pickled() -> None:
    """It travels into one message and nowhere else."""
    card = Card("4242424242424242", "3012")
    assert "4242" not in f"{card} {card!r}"
    with pytest.raises(TypeError, match="holds secrets"):
        pickle.dumps(card)
