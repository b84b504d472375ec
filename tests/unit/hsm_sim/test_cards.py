"""Opening a batch: every card has its own outcome, and one bad card never hurts another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chassis.settings.tree import HSM
from hsm_sim.cards import KEY_EXPIRED, UNDECRYPTABLE, open_cards
from hsm_sim.keys import slots
from hsm_sim.seal import UnsealError, card_context
from hsm_sim.vault import Vault, build_vault
from hsm_sim.wire import CardRefused, CardToOpen, OpenedCard
from tests.support.hsm import DAY_S, INTENT_ID, MERCHANT_ID, NOW_S, open_store, sealed_card


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """Fresh keys."""
    return build_vault(open_store(tmp_path), now_s=NOW_S)


def _open(vault: Vault, *cards: CardToOpen, now_s: int = NOW_S) -> list[OpenedCard | CardRefused]:
    return open_cards(vault, cards, now_s=now_s, random=os.urandom(12 * len(cards)))


def _opened(vault: Vault, card: CardToOpen) -> OpenedCard:
    (opened,) = _open(vault, card)
    assert isinstance(opened, OpenedCard)
    return opened


def _changed(card: CardToOpen, **change: Any) -> CardToOpen:
    return msgspec.structs.replace(card, **change)


@pytest.mark.parametrize("suite", [1, 2])
def test_a_card_opens_to_what_the_switch_needs(vault: Vault, suite: int) -> None:
    """Clear digits for the message, a sealed card for the ledger, a fingerprint."""
    opened = _opened(vault, sealed_card(vault.public_keys(NOW_S), suite=suite))
    assert (opened.pan, opened.expiry, opened.cvc, opened.name) == (
        "4242424242424242",
        "3012",
        "123",
        "A CARDHOLDER",
    )
    context = card_context(INTENT_ID, MERCHANT_ID)
    assert vault.cards.unseal(opened.sealed, context) == b"30124242424242424242"
    assert b"4242" not in opened.sealed
    assert b"123" not in vault.cards.unseal(opened.sealed, context)[20:]


def test_equal_cards_have_equal_fingerprints_and_different_seals(vault: Vault) -> None:
    """The fingerprint tells equality; nothing else of two sealings is equal."""
    keys = vault.public_keys(NOW_S)
    first, second = (_opened(vault, sealed_card(keys)) for _ in range(2))
    other = _opened(vault, sealed_card(keys, number="5555555555554444"))
    assert first.fingerprint == second.fingerprint != other.fingerprint
    assert first.sealed != second.sealed


def test_the_sealed_card_belongs_to_its_row(vault: Vault) -> None:
    """Moved to another intent or merchant it does not unseal."""
    opened = _opened(vault, sealed_card(vault.public_keys(NOW_S)))
    for context in (
        card_context(bytes(16), MERCHANT_ID),
        card_context(INTENT_ID, bytes(16)),
        card_context(MERCHANT_ID, INTENT_ID),
    ):
        with pytest.raises(UnsealError):
            vault.cards.unseal(opened.sealed, context)


def test_one_bad_card_in_a_batch_is_refused_alone(vault: Vault) -> None:
    """Answers keep the order of the questions."""
    keys = vault.public_keys(NOW_S)
    numbers = [f"{4_000_000_000_000_000 + index}" for index in range(8)]
    cards = [sealed_card(keys, number=number) for number in numbers]
    cards[3] = _changed(cards[3], intent="pi_other")
    answers = _open(vault, *cards)
    assert answers[3] is UNDECRYPTABLE
    assert [card.pan for card in answers if isinstance(card, OpenedCard)] == [
        number for index, number in enumerate(numbers) if index != 3
    ]
    assert _open(vault) == []


@pytest.mark.parametrize(
    "change",
    [
        {"live": True},
        {"publishable_key": "pk_test_other"},
        {"intent": "pi_other"},
        {"publishable_key": "pk_test_docsp", "intent": "i_docs"},
        {"publishable_key": "", "intent": ""},
        {"publishable_key": "x" * 70_000},
        {"ciphertext": ""},
        {"ciphertext": "v1.AAAAAAAAAAA.AAAA"},
        {"ciphertext": "v1..."},
        {"ciphertext": "x" * 100_000},
    ],
)
def test_a_card_opens_in_its_own_context_only(vault: Vault, change: dict[str, Any]) -> None:
    """Another mode, merchant, intent or text: the same refusal for each."""
    card = sealed_card(vault.public_keys(NOW_S))
    assert _open(vault, _changed(card, **change)) == [UNDECRYPTABLE]
    assert isinstance(_opened(vault, card), OpenedCard)


def test_the_suite_is_the_keys_not_the_messages(vault: Vault) -> None:
    """A text under the kid of the other suite is refused as undecryptable, both ways."""
    keys = vault.public_keys(NOW_S)
    kid_of = {key.suite: key.kid for key in keys}
    for suite in (1, 2):
        card = sealed_card(keys, suite=suite)
        text = card.ciphertext.replace(kid_of[suite], kid_of[3 - suite])
        assert _open(vault, _changed(card, ciphertext=text)) == [UNDECRYPTABLE]


def test_a_retired_key_still_opens_for_a_day(vault: Vault) -> None:
    """A page that stayed open overnight can still pay; two days later it is told to reload."""
    card = sealed_card(vault.public_keys(NOW_S))
    assert isinstance(_open(vault, card, now_s=NOW_S + 2 * DAY_S - 1)[0], OpenedCard)
    assert _open(vault, card, now_s=NOW_S + 2 * DAY_S) == [KEY_EXPIRED]


def test_a_destroyed_key_is_told_from_an_unknown_one(tmp_path: Path) -> None:
    """Also after rotation and restart a late card hears why, for thirty days."""
    store = open_store(tmp_path)
    card = sealed_card(build_vault(store, now_s=NOW_S).public_keys(NOW_S))
    settings = HSM()
    for day, answer in ((2, KEY_EXPIRED), (31, KEY_EXPIRED), (33, UNDECRYPTABLE)):
        now_s = NOW_S + day * DAY_S
        store.rotate(slots(settings), now_s=now_s, destroyed_kept_s=settings.destroyed_keys_kept_s)
        assert _open(build_vault(store, now_s=now_s), card, now_s=now_s) == [answer]


def test_public_keys_are_listed_newest_first(tmp_path: Path) -> None:
    """What is active comes before what only opens; what is dead is not shown."""
    store = open_store(tmp_path)
    settings = HSM()
    later = NOW_S + DAY_S
    store.rotate(slots(settings), now_s=later, destroyed_kept_s=settings.destroyed_keys_kept_s)
    vault = build_vault(store, now_s=later)
    listed = [(key.suite, key.state) for key in vault.public_keys(later)]
    assert listed == [(1, "active"), (2, "active"), (1, "decrypt_only"), (2, "decrypt_only")]
    assert vault.public_keys(later)[2].not_after == later + DAY_S
    assert [key.suite for key in vault.public_keys(later + DAY_S)] == [1, 2]
    assert vault.public_keys(later + 2 * DAY_S) == []


def test_opened_cards_cannot_be_printed(vault: Vault) -> None:
    """The reply and the request show nothing of a card."""
    opened = _opened(vault, sealed_card(vault.public_keys(NOW_S)))
    assert "4242" not in f"{opened!r}{opened}"
    with pytest.raises(TypeError):
        opened.__reduce__()
