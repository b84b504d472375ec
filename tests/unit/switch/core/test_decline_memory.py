"""Which cards may be tried again, and when they may be once more."""

from __future__ import annotations

import pytest

from switch.core.decline_memory import KEPT_US, DeclineMemory

NOW = 1_800_000_000_000_000
SHOP, OTHER = b"s" * 16, b"o" * 16
CARD, ANOTHER = b"f" * 16, b"g" * 16
PAN = "4111111111111111"


def refusal(
    memory: DeclineMemory,
    merchant_id: bytes = SHOP,
    *,
    card: bytes = CARD,
    brand: str = "visa",
    at_us: int = NOW,
) -> str:
    """What a card is told."""
    return memory.refusal(merchant_id, card, brand, PAN, at_us)


def test_a_card_nobody_declined_is_welcome() -> None:
    """As nearly every card is."""
    assert refusal(DeclineMemory(10)) == ""


def test_a_hard_decline_holds_for_its_merchant_for_thirty_days() -> None:
    """To the microsecond; other merchants and other cards are not concerned."""
    memory = DeclineMemory(10)
    memory.note(SHOP, CARD, "hard", NOW)
    assert refusal(memory) == "card_declined_before"
    assert refusal(memory, at_us=NOW + KEPT_US - 1) == "card_declined_before"
    assert refusal(memory, at_us=NOW + KEPT_US) == ""
    assert refusal(memory, OTHER) == ""
    assert refusal(memory, card=ANOTHER) == ""


@pytest.mark.parametrize("class_", ["soft", "data", "generic"])
def test_any_other_decline_may_be_tried_again(class_: str) -> None:
    """Within the scheme's bounds."""
    memory = DeclineMemory(10)
    memory.note(SHOP, CARD, class_, NOW)
    assert refusal(memory) == ""


@pytest.mark.parametrize(("brand", "cap"), [("visa", 15), ("mastercard", 35), ("jcb", 15)])
def test_a_scheme_caps_the_declines_of_a_card(brand: str, cap: int) -> None:
    """Whoever tries it: the cap is reached with the last, and not before."""
    memory = DeclineMemory(10)
    for number in range(cap):
        assert refusal(memory, brand=brand) == ""
        memory.note(OTHER if number % 2 else SHOP, CARD, "soft", NOW + number)
    assert refusal(memory, brand=brand) == "retry_limit_reached"
    assert refusal(memory, OTHER, brand=brand) == "retry_limit_reached"
    assert refusal(memory, brand=brand, at_us=NOW + KEPT_US) == ""


def test_old_declines_are_forgotten_when_new_ones_come() -> None:
    """The list of a card does not grow for ever."""
    memory = DeclineMemory(10)
    for number in range(100):
        memory.note(SHOP, CARD, "hard", NOW + number * KEPT_US // 5)
    assert refusal(memory, at_us=NOW + 99 * KEPT_US // 5) == "card_declined_before"
    [card] = memory._cards.values()
    assert (len(card.at_us), len(card.hard)) == (5, 5)


def test_exempt_cards_are_never_refused() -> None:
    """Those of the simulated networks, so that tests can be repeated."""
    memory = DeclineMemory(10, exempt=[PAN])
    memory.note(SHOP, CARD, "hard", NOW)
    assert refusal(memory) == ""


def test_the_memory_is_bounded() -> None:
    """The card known longest goes first."""
    memory = DeclineMemory(2)
    for card in (CARD, ANOTHER, b"h" * 16):
        memory.note(SHOP, card, "hard", NOW)
    assert len(memory) == 2
    assert refusal(memory) == ""
    assert refusal(memory, card=ANOTHER) == "card_declined_before"
