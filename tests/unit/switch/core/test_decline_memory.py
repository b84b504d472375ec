"""Which cards may be tried again, and when they may be once more."""

from __future__ import annotations

from hashlib import blake2b

import pytest

from switch.core.decline_memory import DECLINES_MAX, KEPT_US, DeclineMemory

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


def note(memory: DeclineMemory, merchant_id: bytes, card: bytes, class_: str, at_us: int) -> None:
    """A decline of an attempt that nothing else has in common with."""
    told = merchant_id + class_.encode() + at_us.to_bytes(8)
    memory.note(merchant_id, card, class_, at_us, blake2b(told, digest_size=16).digest())


def test_a_card_nobody_declined_is_welcome() -> None:
    """As nearly every card is."""
    memory = DeclineMemory(10)
    assert refusal(memory) == ""
    assert CARD not in memory
    note(memory, SHOP, CARD, "hard", NOW)
    assert CARD in memory
    assert ANOTHER not in memory


def test_a_hard_decline_holds_for_its_merchant_for_thirty_days() -> None:
    """To the microsecond; other merchants and other cards are not concerned."""
    memory = DeclineMemory(10)
    note(memory, SHOP, CARD, "hard", NOW)
    assert refusal(memory) == "card_declined_before"
    assert refusal(memory, at_us=NOW + KEPT_US - 1) == "card_declined_before"
    assert refusal(memory, at_us=NOW + KEPT_US) == ""
    assert refusal(memory, OTHER) == ""
    assert refusal(memory, card=ANOTHER) == ""


@pytest.mark.parametrize("class_", ["soft", "data", "generic"])
def test_any_other_decline_may_be_tried_again(class_: str) -> None:
    """Within the scheme's bounds."""
    memory = DeclineMemory(10)
    note(memory, SHOP, CARD, class_, NOW)
    assert refusal(memory) == ""


@pytest.mark.parametrize(("brand", "cap"), [("visa", 15), ("mastercard", 35), ("jcb", 15)])
def test_a_scheme_caps_the_declines_of_a_card(brand: str, cap: int) -> None:
    """Whoever tries it: the cap is reached with the last, and not before."""
    memory = DeclineMemory(10)
    for number in range(cap):
        assert refusal(memory, brand=brand) == ""
        note(memory, OTHER if number % 2 else SHOP, CARD, "soft", NOW + number)
    assert refusal(memory, brand=brand) == "retry_limit_reached"
    assert refusal(memory, OTHER, brand=brand) == "retry_limit_reached"
    assert refusal(memory, brand=brand, at_us=NOW + KEPT_US) == ""


def test_only_soft_declines_count_towards_the_cap() -> None:
    """A hard one at some merchant, or wrong data, is no try that was asked to be repeated."""
    memory = DeclineMemory(10)
    for number in range(20):
        note(memory, SHOP, CARD, "data", NOW + number)
        note(memory, OTHER, CARD, "hard", NOW + number)
    assert refusal(memory) == ""


def test_a_decline_counts_once_however_often_it_is_noted() -> None:
    """By every look at the table, in any order."""
    memory = DeclineMemory(10)
    for _ in range(3):
        for number in (3, 1, 2):
            note(memory, SHOP, CARD, "soft", NOW + number)
            note(memory, OTHER, CARD, "hard", NOW + number)
    for number in range(4, 15):
        note(memory, SHOP, CARD, "soft", NOW + number)
    assert refusal(memory) == ""
    note(memory, SHOP, CARD, "soft", NOW + 15)
    assert refusal(memory) == "retry_limit_reached"
    assert refusal(memory, OTHER) == "card_declined_before"


def test_a_decline_is_known_by_its_attempt() -> None:
    """Whoever heard it noted it a little before its commit gave it the instant that it has."""
    memory = DeclineMemory(10)
    for number in range(14):
        for at_us in (NOW, NOW + 1_000 + number):
            memory.note(SHOP, CARD, "soft", at_us, number.to_bytes(16))
    assert refusal(memory) == ""


def test_the_cap_counts_thirty_days_back() -> None:
    """Each try comes back by itself."""
    memory = DeclineMemory(10)
    for number in range(15):
        note(memory, SHOP, CARD, "soft", NOW + number)
    assert refusal(memory, at_us=NOW + KEPT_US - 1) == "retry_limit_reached"
    assert refusal(memory, at_us=NOW + KEPT_US) == ""


def test_the_declines_of_a_card_are_bounded() -> None:
    """One that is tried without end, as test cards are, keeps the newest."""
    memory = DeclineMemory(10)
    note(memory, SHOP, CARD, "hard", NOW)
    for number in range(DECLINES_MAX):
        note(memory, OTHER, CARD, "hard", NOW + number)
    assert refusal(memory) == ""
    assert refusal(memory, OTHER) == "card_declined_before"
    assert [len(packed) for packed in memory._cards.values()] == [28 * DECLINES_MAX]


def test_cards_are_forgotten_with_their_last_decline() -> None:
    """In bounded steps, those declined longest ago first; a newer decline keeps a card."""
    memory = DeclineMemory(10)
    cards = [bytes([n]) * 16 for n in range(5)]
    for number, card in enumerate(cards):
        note(memory, SHOP, card, "soft", NOW + number)
    note(memory, SHOP, cards[0], "soft", NOW + 100)
    assert memory.forget(NOW + KEPT_US, limit=9) == 0
    assert memory.forget(NOW + KEPT_US + 3, limit=2) == 2
    assert memory.forget(NOW + KEPT_US + 3, limit=2) == 1
    assert memory.forget(NOW + KEPT_US + 3, limit=2) == 0
    assert len(memory) == 2
    assert memory.forget(NOW + 2 * KEPT_US, limit=9) == 2


def test_exempt_cards_are_never_refused() -> None:
    """Those of the simulated networks, so that tests can be repeated."""
    memory = DeclineMemory(10, exempt=[PAN])
    note(memory, SHOP, CARD, "hard", NOW)
    assert refusal(memory) == ""


def test_the_memory_is_bounded() -> None:
    """The card declined longest ago goes first."""
    memory = DeclineMemory(2)
    for number, card in enumerate((CARD, ANOTHER, CARD, b"h" * 16)):
        note(memory, SHOP, card, "hard", NOW + number)
    assert len(memory) == 2
    assert refusal(memory, card=ANOTHER) == ""
    assert refusal(memory) == "card_declined_before"
