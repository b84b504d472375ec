"""Which card gets which answer, and what a card file may not say."""

from __future__ import annotations

import pytest

from network_sim.cards import (
    Card,
    CardBook,
    CardRange,
    CardsError,
    load_card_file,
    load_cards,
    load_ranges,
    parse_card_file,
    passes_luhn,
)

VSIM = CardBook(load_card_file(), ("4",))
MSIM = CardBook(load_card_file(), ("5", "2"))
PUBLISHED = {
    "4242424242424242": ("00", "at_once", 0.0),
    "4000000000000002": ("05", "at_once", 0.0),
    "4000000000009995": ("51", "at_once", 0.0),
    "4000000000000069": ("54", "at_once", 0.0),
    "4000000000009987": ("41", "at_once", 0.0),
    "4000000000009979": ("43", "at_once", 0.0),
    "4000000000000127": ("82", "at_once", 0.0),
    "4000000000000119": ("91", "at_once", 0.0),
    "4000000000006801": ("00", "silent", 0.0),
    "4000000000007809": ("00", "silent", 0.0),
    "4000000000008807": ("00", "late", 0.0),
    "4000000000009805": ("00", "delayed", 1.0),
    "4000000000000259": ("00", "at_once", 0.0),
}
FILE = """
[outcomes.approved]
response_code = "00"
[[cards]]
number = "4242424242424242"
brand = "visa"
outcome = "approved"
description = "Approved"
[[ranges]]
prefix = "42424200"
brand = "visa"
outcome = "approved"
description = "Approved"
"""


@pytest.mark.parametrize("number", PUBLISHED)
def test_published_cards_of_the_first_network(number: str) -> None:
    """Each published number has the outcome that the contract gives it."""
    outcome = VSIM.outcome(number)
    assert (outcome.response_code, outcome.delivery, outcome.delay_s) == PUBLISHED[number]


def test_published_card_of_the_second_network() -> None:
    """The second network approves its own card."""
    assert MSIM.outcome("5555555555554444").response_code == "00"


def test_the_file_lists_the_published_cards_and_no_others() -> None:
    """`turnout cards` shows exactly what the contract promises."""
    assert {card.number for card in load_cards()} == {*PUBLISHED, "5555555555554444"}


@pytest.mark.parametrize("card", load_cards(), ids=lambda card: card.number)
def test_listed_numbers_pass_the_luhn_check(card: Card) -> None:
    """Clients that check the digit before sending can use every listed card."""
    assert passes_luhn(card.number)


def test_a_listed_card_of_the_other_network_is_a_strangers() -> None:
    """A number outside the network's prefixes has no issuer here, listed or not."""
    assert VSIM.outcome("5555555555554444").response_code == "15"
    assert MSIM.outcome("4242424242424242").response_code == "15"


def test_a_network_without_prefixes_takes_every_number() -> None:
    """No prefixes means that all cards are the network's own."""
    assert CardBook(load_card_file(), ()).outcome("5555555555554444").response_code == "00"


@pytest.mark.parametrize("card_range", load_ranges(), ids=lambda entry: entry.prefix)
def test_ranges_answer_the_code_that_ends_their_prefix(card_range: CardRange) -> None:
    """First, last and a number in between get the code, whatever their check digit."""
    first, last = card_range.first, card_range.last
    book = VSIM if first.startswith("4") else MSIM
    middle = f"{(int(first) + int(last)) // 2}"
    assert {book.outcome(number).response_code for number in (first, middle, last)} == {first[6:8]}


def test_numbers_beside_a_range_are_judged_by_their_check_digit() -> None:
    """A range ends where it says: the next number up is an ordinary one."""
    assert VSIM.outcome("4242420100000000").response_code == "14"


def test_ranges_hold_numbers_of_sixteen_digits_only() -> None:
    """A shorter number with a range's prefix is an ordinary one."""
    assert VSIM.outcome("4242420000000").response_code == "14"


@pytest.mark.parametrize("number", ["4111111111111111", "4222222222222", "4000000000000000006"])
def test_unlisted_numbers_with_a_right_check_digit_are_approved(number: str) -> None:
    """Thirteen, sixteen and nineteen digits alike."""
    assert VSIM.outcome(number).response_code == "00"


@pytest.mark.parametrize("number", ["4111111111111112", "4222222222223", "4000000000000000007"])
def test_unlisted_numbers_with_a_wrong_check_digit_are_invalid(number: str) -> None:
    """One digit off is 14."""
    assert VSIM.outcome(number).response_code == "14"


def test_every_wrong_last_digit_fails_the_luhn_check() -> None:
    """Of ten last digits exactly one is right."""
    passing = [digit for digit in "0123456789" if passes_luhn(f"424242424242424{digit}")]
    assert passing == ["2"]


@pytest.mark.parametrize("text", ["", "4242 4242 4242 4242", "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢"])
def test_what_is_not_digits_fails_the_luhn_check(text: str) -> None:
    """Blanks and digits of other scripts are no card numbers."""
    assert not passes_luhn(text)


def test_a_sound_file_is_read() -> None:
    """The twin of the refusals below."""
    assert parse_card_file(FILE).cards[0].number == "4242424242424242"


@pytest.mark.parametrize(
    ("wrong", "right", "reason"),
    [
        ('outcome = "declined"', 'outcome = "approved"', "unknown outcome 'declined'"),
        ('number = "4242 4242"', 'number = "4242424242424242"', "card number at position 0"),
        ('prefix = "4242420x"', 'prefix = "42424200"', "range prefix at position 0"),
        ('response_code = "000"', 'response_code = "00"', "two letters or digits"),
        ('response_code = "00"\ndelay_s = 1.0', 'response_code = "00"', "belongs to delivery"),
        (
            'response_code = "00"\ndelivery = "delayed"',
            'response_code = "00"',
            "must be positive",
        ),
        ('delivery = "never"\nresponse_code = "00"', 'response_code = "00"', "Invalid enum"),
        ('material = "gold"\nbrand = "visa"', 'brand = "visa"', "unknown field"),
    ],
)
def test_files_that_contradict_themselves_are_refused(wrong: str, right: str, reason: str) -> None:
    """The error says what is wrong and where."""
    with pytest.raises(CardsError, match=reason):
        parse_card_file(FILE.replace(right, wrong, 1))


def test_a_number_listed_twice_is_refused() -> None:
    """Two entries for one number could differ."""
    card = FILE[FILE.index("[[cards]]") : FILE.index("[[ranges]]")]
    with pytest.raises(CardsError, match="card number is listed twice"):
        parse_card_file(FILE + card)


def test_prefixes_of_unequal_length_are_refused() -> None:
    """The look-up takes one slice of a number."""
    entry = FILE[FILE.index("[[ranges]]") :].replace("42424200", "4242425")
    with pytest.raises(CardsError, match="same length"):
        parse_card_file(FILE + entry)
