"""Masking: what may be shown of a message, and that nothing else is."""

from __future__ import annotations

from switch.iso8583 import load_dialect
from switch.iso8583.masking import HIDDEN, mask_fields
from tests.support.iso8583 import SALE, sample

NET87B = load_dialect("net87b")


def test_a_sale_shows_its_merchant_and_hides_its_card() -> None:
    """PAN cut, expiry and CVC hidden, the rest as sent; the original is untouched."""
    fields = dict(SALE.fields)
    shown = mask_fields(fields)
    assert fields == SALE.fields
    assert {number: text for number, text in shown.items() if text != fields[number]} == {
        2: "424242******4242",
        14: HIDDEN,
        48: f"92={HIDDEN}",
    }
    assert list(shown) == sorted(fields)


def test_card_data_is_hidden_wherever_it_may_stand() -> None:
    """Tracks, PIN and ICC data, keys, accounts and reserved elements are hidden whole."""
    everything = {number: sample(element) for number, element in NET87B.elements.items()}
    hidden = {number for number, text in mask_fields(everything).items() if text == HIDDEN}
    assert hidden == {
        *(14, 23, 34, 35, 36, 44, 45, 46, 47, 48, 52, 53, 55, 56, 57, 58, 59, 60, 61, 63, 64),
        *(96, 98, 101, 102, 103, 104, 128),
    }


def test_an_element_nobody_knows_is_hidden() -> None:
    """Masking fails closed for numbers of no dialect."""
    assert mask_fields({127: "4242424242424242"}) == {127: HIDDEN}


def test_private_data_that_does_not_parse_is_hidden() -> None:
    """Masking fails closed for malformed tags."""
    assert mask_fields({48: "9203123X"}) == {48: HIDDEN}


def test_a_pan_of_another_form_shows_nothing() -> None:
    """What is no card number keeps no digit in sight."""
    shown = mask_fields({2: "4242"})[2]
    assert not any(character.isdigit() for character in shown)


def test_a_card_number_in_free_text_is_found() -> None:
    """A merchant's name that contains a card number does not show it."""
    shown = mask_fields({43: "Shop 4242 4242 4242 4242".ljust(40)})[43]
    assert "4242" not in shown
    assert shown.startswith("Shop")
