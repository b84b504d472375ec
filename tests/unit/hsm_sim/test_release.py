"""Giving stored cards back: to their own row, for as long as their key lives, and so many."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.settings.tree import HSM
from hsm_sim.audit import DETAIL_CHARS_MAX
from hsm_sim.cards import open_cards
from hsm_sim.keys import slots
from hsm_sim.release import (
    IDS_PER_LINE,
    SHREDDED,
    UNDECRYPTABLE,
    ReleaseLimit,
    audit_entries,
    release_cards,
)
from hsm_sim.vault import Vault, build_vault
from hsm_sim.wire import CardToRelease, OpenedCard, ReleaseCards, ReleasedCard
from tests.support.hsm import DAY_S, INTENT_ID, MERCHANT_ID, NOW_S, open_store, sealed_card
from tests.support.hsm_release import stored_card


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    """Fresh keys, which no test changes."""
    return build_vault(open_store(tmp_path_factory.mktemp("hsm")), now_s=NOW_S)


def test_what_opening_sealed_releasing_gives_back(vault: Vault) -> None:
    """Number and expiry of an opened card come back from its sealed form, and no CVC."""
    request = sealed_card(vault.public_keys(NOW_S))
    (opened,) = open_cards(vault, [request], now_s=NOW_S, random=os.urandom(12))
    assert isinstance(opened, OpenedCard)
    card = CardToRelease(opened.sealed, request.intent_id, request.merchant_id)
    (released,) = release_cards(vault, [card], now_s=NOW_S)
    assert isinstance(released, ReleasedCard)
    assert (released.pan, released.expiry) == (opened.pan, opened.expiry)
    assert released.__struct_fields__ == ("pan", "expiry")


@pytest.mark.parametrize("digits", [12, 13, 16, 19])
def test_numbers_of_every_length_come_back(vault: Vault, digits: int) -> None:
    """The expiry in front has four digits, the number has the rest."""
    number = "4" * digits
    assert release_cards(vault, [stored_card(vault, number=number)], now_s=NOW_S) == [
        ReleasedCard(number, "3012")
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"intent_id": bytes(16)},
        {"merchant_id": bytes(16)},
        {"intent_id": MERCHANT_ID, "merchant_id": INTENT_ID},
        {"sealed": b""},
        {"sealed": bytes(100)},
        {"sealed": b"\x01" + bytes(100)},
        {"sealed": b"\x01\xff\xff\xff\xff" + bytes(100)},
    ],
)
def test_a_card_is_released_to_its_own_row_only(vault: Vault, change: dict[str, bytes]) -> None:
    """Another intent, another merchant or other bytes: refused, and its neighbors are not."""
    card = stored_card(vault)
    answers = release_cards(vault, [card, msgspec.structs.replace(card, **change), card], now_s=0)
    assert answers == [ReleasedCard("4242424242424242", "3012"), UNDECRYPTABLE, answers[0]]


@given(position=st.integers(0, 54), bit=st.integers(0, 7))
def test_no_bit_of_a_stored_card_can_be_changed(vault: Vault, position: int, bit: int) -> None:
    """Format, key version, day, nonce, text or tag."""
    card = stored_card(vault)
    spoiled = bytearray(card.sealed)
    spoiled[position % len(spoiled)] ^= 1 << bit
    changed = msgspec.structs.replace(card, sealed=bytes(spoiled))
    assert release_cards(vault, [changed], now_s=NOW_S) == [UNDECRYPTABLE]


def test_a_merchants_secret_is_no_card(vault: Vault) -> None:
    """What is sealed for another purpose does not come out as a card."""
    blob = vault.secrets.seal(b"sk", INTENT_ID + MERCHANT_ID, day=1, nonce=bytes(12))
    card = CardToRelease(blob, INTENT_ID, MERCHANT_ID)
    assert release_cards(vault, [card], now_s=NOW_S) == [UNDECRYPTABLE]


def test_a_shredded_card_says_so(tmp_path: Path) -> None:
    """Dead to the second by the clock, on disk after the rotation, unknown once forgotten."""
    store, settings = open_store(tmp_path), HSM()
    vault = build_vault(store, now_s=NOW_S)
    card = stored_card(vault)
    dies_s = NOW_S + 541 * DAY_S
    assert release_cards(vault, [card], now_s=dies_s - 1) != [SHREDDED]
    assert release_cards(vault, [card], now_s=dies_s) == [SHREDDED]
    for day, answer in ((541, SHREDDED), (570, SHREDDED), (572, UNDECRYPTABLE)):
        now_s = NOW_S + day * DAY_S
        store.rotate(slots(settings), now_s=now_s, destroyed_kept_s=settings.destroyed_keys_kept_s)
        assert release_cards(build_vault(store, now_s=now_s), [card], now_s=now_s) == [answer]


def test_the_audit_line_names_intents_and_no_cards(vault: Vault) -> None:
    """Thirty-two ids fit a line whole; more take more lines, whose counts add up."""
    ids = [os.urandom(16) for _ in range(70)]
    request = ReleaseCards("reversal", [stored_card(vault, intent_id=each) for each in ids])
    entries = audit_entries(request, uid=1001, refused=3)
    assert [action for action, _ in entries] == ["cards_released"] * 3
    assert [detail["count"] for _, detail in entries] == [32, 32, 6]
    assert [detail["refused"] for _, detail in entries] == [3, 0, 0]
    noted = ",".join(str(detail["intents"]) for _, detail in entries).split(",")
    assert noted == [each.hex() for each in ids]
    assert all(len(str(detail["intents"])) <= DETAIL_CHARS_MAX for _, detail in entries)
    assert {detail["purpose"] for _, detail in entries} == {"reversal"}
    assert IDS_PER_LINE == 32
    assert audit_entries(ReleaseCards("retry", []), uid=1001, refused=0) == []


def test_the_limit_holds_over_any_minute() -> None:
    """What was taken frees its place a minute later, to the second; a refusal takes none."""
    limit = ReleaseLimit(100)
    assert limit.take(60, now=10.0)
    assert limit.take(40, now=30.9)
    assert not limit.take(1, now=69.9)
    assert not limit.take(61, now=70.0)
    assert limit.take(60, now=70.0)
    assert not limit.take(1, now=89.0)
    assert limit.take(40, now=90.0)
    assert not limit.take(101, now=10_000.0)
    assert limit.take(100, now=10_000.0)
    assert limit.take(0, now=10_000.0)


@given(
    wants=st.lists(st.tuples(st.integers(0, 20), st.floats(0, 30)), max_size=60),
    bound=st.integers(1, 50),
)
def test_no_window_of_a_minute_holds_more(wants: list[tuple[int, float]], bound: int) -> None:
    """Against the definition: the sum over every sixty seconds that end with a release."""
    limit, now = ReleaseLimit(bound), 0.0
    taken: list[tuple[int, int]] = []
    for count, pause in wants:
        now += pause
        fits = sum(each for at, each in taken if at > int(now) - 60) + count <= bound
        assert limit.take(count, now=now) is fits
        if fits:
            taken.append((int(now), count))
