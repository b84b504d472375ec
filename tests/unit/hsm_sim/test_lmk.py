"""The master key: its file, its check value, its wrap."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hsm_sim.lmk import LMK, KeystoreError, generate_lmk, load_lmk

KEY = bytes(range(32))


def test_a_wrapped_key_comes_back_under_its_own_header_only() -> None:
    """The header is bound: other dates or another usage do not unwrap."""
    lmk = LMK(KEY)
    wrapped = lmk.wrap(b"secret key", b"header")
    assert lmk.unwrap(wrapped, b"header", name="k") == b"secret key"
    for bad, header in (
        (wrapped, b"Header"),
        (wrapped[:-1] + bytes((wrapped[-1] ^ 1,)), b"header"),
        (wrapped[:-1], b"header"),
        (b"", b"header"),
        (b"short", b"header"),
    ):
        with pytest.raises(KeystoreError, match="key k does not unwrap"):
            lmk.unwrap(bad, header, name="k")
    with pytest.raises(KeystoreError):
        LMK(bytes(32)).unwrap(wrapped, b"header", name="k")


def test_wrapping_twice_differs() -> None:
    """The nonce is fresh each time."""
    lmk = LMK(KEY)
    assert lmk.wrap(b"k", b"") != lmk.wrap(b"k", b"")


def test_the_check_value_is_the_usual_one() -> None:
    """CMAC of a zero block under AES-256, three bytes (first block of an all-zero key: known)."""
    # AES-256 of a zero block under the zero key is dc95c078a2408989ad48a21492842087 (FIPS 197);
    # CMAC of a full zero block encrypts K1 = that value doubled, here checked by its definition.
    encrypt = Cipher(algorithms.AES(bytes(32)), modes.ECB()).encryptor().update
    first = encrypt(bytes(16))
    assert first.hex() == "dc95c078a2408989ad48a21492842087"
    doubled = int.from_bytes(first, "big") << 1
    sub_key = (doubled & (2**128 - 1)) ^ (0x87 if doubled >> 128 else 0)
    assert LMK(bytes(32)).check_value == encrypt(sub_key.to_bytes(16, "big"))[:3].hex()


def test_a_generated_lmk_is_private_and_loads_again(tmp_path: Path) -> None:
    """The file is 0600 whatever the umask, and holds 32 random bytes."""
    old = os.umask(0)
    try:
        generated = generate_lmk(tmp_path / "lmk")
    finally:
        os.umask(old)
    assert (tmp_path / "lmk").stat().st_mode & 0o777 == 0o600
    assert load_lmk(tmp_path / "lmk").check_value == generated.check_value
    assert generate_lmk(tmp_path / "other").check_value != generated.check_value


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_an_lmk_of_another_length_is_refused(tmp_path: Path, length: int) -> None:
    """Thirty-two bytes, no line feed behind them."""
    path = tmp_path / "lmk"
    path.write_bytes(bytes(length))
    path.chmod(0o600)
    with pytest.raises(KeystoreError, match="exactly 32 bytes"):
        load_lmk(path)
    with pytest.raises(KeystoreError, match="32 bytes"):
        LMK(bytes(length))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_an_lmk_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A leaked master key is no master key; the error says what to do."""
    path = tmp_path / "lmk"
    path.write_bytes(KEY)
    path.chmod(mode)
    with pytest.raises(KeystoreError, match="chmod 0600"):
        load_lmk(path)


def test_a_missing_lmk_is_named(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(KeystoreError, match="lmk: the LMK cannot be read"):
        load_lmk(tmp_path / "lmk")
