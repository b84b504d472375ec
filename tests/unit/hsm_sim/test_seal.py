"""Sealing at rest: what opens where, and what never does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsm_sim.seal import (
    CARD_LABEL,
    SECRET_LABEL,
    Fingerprint,
    Sealer,
    UnsealError,
    card_context,
    day_of,
    key_version,
)

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
NONCE = bytes(range(12))
DAY = 20_500
INTENT, MERCHANT = bytes(16), b"\x01" * 16
CONTEXT = card_context(INTENT, MERCHANT)


@given(
    st.binary(max_size=64),
    st.binary(max_size=64),
    st.integers(0, 65_535),
    st.binary(min_size=12, max_size=12),
)
@settings(max_examples=50, deadline=None)
def test_opens_what_it_sealed(plaintext: bytes, context: bytes, day: int, nonce: bytes) -> None:
    """Any plaintext opens again from its blob and context alone, in another process too."""
    blob = Sealer(CARD_LABEL, {1: KEY}).seal(plaintext, context, day=day, nonce=nonce)
    assert Sealer(CARD_LABEL, {1: KEY}).unseal(blob, context) == plaintext


def test_the_layout_is_the_documented_one() -> None:
    """Format, key version, day and nonce stand in front, so a blob can be opened years later."""
    blob = Sealer(CARD_LABEL, {7: KEY}).seal(b"x" * 20, CONTEXT, day=DAY, nonce=NONCE)
    assert blob[:7] == b"\x01" + (7).to_bytes(4, "big") + DAY.to_bytes(2, "big")
    assert blob[7:19] == NONCE
    assert len(blob) == 7 + 12 + 20 + 16


def test_a_blob_names_its_key_version() -> None:
    """Also to those who lack the key; what is too short or of another format names none."""
    blob = Sealer(CARD_LABEL, {7: KEY}).seal(b"", CONTEXT, day=DAY, nonce=NONCE)
    assert key_version(blob) == 7
    assert key_version(blob[:-1]) == key_version(b"\x02" + blob[1:]) == key_version(b"") == 0


def test_any_flipped_bit_is_refused() -> None:
    """Header, nonce, ciphertext and tag are all authenticated."""
    sealer = Sealer(CARD_LABEL, {1: KEY})
    blob = sealer.seal(b"secret", CONTEXT, day=DAY, nonce=NONCE)
    for bit in range(len(blob) * 8):
        altered = bytearray(blob)
        altered[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(UnsealError):
            sealer.unseal(bytes(altered), CONTEXT)


@pytest.mark.parametrize("length", [0, 1, 34])
def test_a_short_blob_is_refused(length: int) -> None:
    """Fewer bytes than header, nonce and tag cannot be a blob."""
    with pytest.raises(UnsealError):
        Sealer(CARD_LABEL, {1: KEY}).unseal(b"\x01" * length, CONTEXT)


def test_a_blob_opens_in_its_own_row_only() -> None:
    """Moved to another intent, merchant, purpose, key or key version, a blob stays shut."""
    blob = Sealer(CARD_LABEL, {1: KEY}).seal(b"secret", CONTEXT, day=DAY, nonce=NONCE)
    for context in (
        card_context(MERCHANT, MERCHANT),
        card_context(INTENT, INTENT),
        card_context(MERCHANT, INTENT),
        CONTEXT[:-1],
        b"",
    ):
        with pytest.raises(UnsealError):
            Sealer(CARD_LABEL, {1: KEY}).unseal(blob, context)
    for sealer in (
        Sealer(SECRET_LABEL, {1: KEY}),
        Sealer(CARD_LABEL, {1: OTHER_KEY}),
        Sealer(CARD_LABEL, {2: KEY}),
    ):
        with pytest.raises(UnsealError):
            sealer.unseal(blob, CONTEXT)


def test_older_versions_open_and_the_newest_seals() -> None:
    """After a rotation old blobs open until their version is gone."""
    old = Sealer(CARD_LABEL, {1: KEY}).seal(b"old", CONTEXT, day=DAY, nonce=NONCE)
    both = Sealer(CARD_LABEL, {1: KEY, 2: OTHER_KEY})
    assert both.unseal(old, CONTEXT) == b"old"
    new = both.seal(b"new", CONTEXT, day=DAY, nonce=NONCE)
    assert Sealer(CARD_LABEL, {2: OTHER_KEY}).unseal(new, CONTEXT) == b"new"
    with pytest.raises(UnsealError):
        Sealer(CARD_LABEL, {2: OTHER_KEY}).unseal(old, CONTEXT)


def test_each_day_and_purpose_has_its_own_sub_key() -> None:
    """The same plaintext under the same nonce differs from day to day and purpose to purpose."""
    blobs = {
        Sealer(label, {1: KEY}).seal(b"secret", b"", day=day, nonce=NONCE)[19:25]
        for label in (CARD_LABEL, SECRET_LABEL)
        for day in (DAY, DAY + 1)
    }
    assert len(blobs) == 4


def test_many_days_stay_bounded_and_open() -> None:
    """More days than sub-keys are kept: the evicted ones are derived again."""
    sealer = Sealer(CARD_LABEL, {1: KEY})
    blobs = [sealer.seal(b"secret", b"", day=day, nonce=NONCE) for day in range(200)]
    assert len(sealer._ciphers) <= 64
    assert {sealer.unseal(blob, b"") for blob in blobs} == {b"secret"}


@pytest.mark.parametrize("versions", [{}, {1: b"short"}])
def test_a_sealer_refuses_unfit_keys(versions: dict[int, bytes]) -> None:
    """No key, or one of another length, is a broken key store."""
    with pytest.raises(ValueError, match="32-byte"):
        Sealer(CARD_LABEL, versions)


def test_fingerprints_are_keyed() -> None:
    """Equal cards are equal under one key, unequal under another; 16 bytes tell nothing more."""
    ours = Fingerprint(KEY)
    first = ours.of(b"4242424242424242")
    assert len(first) == 16
    assert ours.of(b"4242424242424242") == first
    assert ours.of(b"5555555555554444") != first
    assert Fingerprint(OTHER_KEY).of(b"4242424242424242") != first
    with pytest.raises(ValueError, match="32 bytes"):
        Fingerprint(b"short")


def test_days_are_counted_in_utc() -> None:
    """A day begins at midnight UTC."""
    assert [day_of(0), day_of(86_399), day_of(86_400)] == [0, 0, 1]
