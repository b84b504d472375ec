"""AES-CMAC against published examples, and what a MAC must notice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.mac import Cmac, check_value, check_value_text

MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
AES_128 = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
AES_192 = bytes.fromhex("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b")
AES_256 = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
# RFC 4493, section 4, and the examples of NIST SP 800-38B for the longer keys.
PUBLISHED = [
    (AES_128, 0, "bb1d6929e95937287fa37d129b756746"),
    (AES_128, 16, "070a16b46b4d4144f79bdd9dd04a287c"),
    (AES_128, 40, "dfa66747de9ae63030ca32611497c827"),
    (AES_128, 64, "51f0bebf7e3b9d92fc49741779363cfe"),
    (AES_192, 0, "d17ddf46adaacde531cac483de7a9367"),
    (AES_192, 64, "a1d5df0eed790f794d77589659f39a11"),
    (AES_256, 0, "028962f61b7bf89efc6b551f4667d983"),
    (AES_256, 64, "e1992190549f6ed5696a2c056c315410"),
]
MESSAGES = st.binary(max_size=300)


@pytest.mark.parametrize(("key", "length", "mac"), PUBLISHED)
def test_published_examples(key: bytes, length: int, mac: str) -> None:
    """The whole CMAC is the published one; a message's MAC is its first half."""
    cmac, message = Cmac(key), MESSAGE[:length]
    assert cmac.of(message).hex() == mac
    assert cmac.message_mac(message).hex() == mac[:16]
    assert cmac.verifies(message, bytes.fromhex(mac[:16]))


def test_one_key_serves_message_after_message() -> None:
    """What was authenticated before has no influence."""
    cmac = Cmac(AES_128)
    first = [cmac.message_mac(MESSAGE[:length]) for length in (0, 40, 16, 0)]
    assert first == [Cmac(AES_128).message_mac(MESSAGE[:length]) for length in (0, 40, 16, 0)]


@given(message=MESSAGES, bit=st.integers(min_value=0), in_mac=st.booleans())
def test_a_flipped_bit_is_noticed(message: bytes, bit: int, *, in_mac: bool) -> None:
    """One bit of the message or of the MAC is enough."""
    cmac = Cmac(AES_256)
    mac = cmac.message_mac(message)
    spoiled = bytearray(mac if in_mac or not message else message)
    spoiled[bit // 8 % len(spoiled)] ^= 1 << bit % 8
    if in_mac or not message:
        assert not cmac.verifies(message, bytes(spoiled))
    else:
        assert not cmac.verifies(bytes(spoiled), mac)


@pytest.mark.parametrize("mac", [b"", bytes(7), bytes(8), bytes(16)])
def test_another_length_is_no_mac(mac: bytes) -> None:
    """Neither nothing nor the whole CMAC passes where eight bytes are meant."""
    cmac = Cmac(AES_128)
    assert not cmac.verifies(b"", mac)
    assert not cmac.verifies(b"", cmac.of(b""))


@pytest.mark.parametrize("length", [0, 8, 15, 31, 33])
def test_aes_has_three_key_lengths(length: int) -> None:
    """A key of another length is refused, and not shown."""
    with pytest.raises(ValueError, match=f"not {length}"):
        Cmac(bytes(length))


def test_the_check_value_of_a_known_key() -> None:
    """The key of TR-31:2018, A.7.4 has the check value 08793E."""
    key = bytes.fromhex("3F419E1CB7079442AA37474C2EFBF8B8")
    assert check_value(key).hex() == "08793e"
    assert check_value_text(key) == "08793E"


def test_a_key_is_not_printed() -> None:
    """Neither form of text holds any of it."""
    assert AES_128.hex() not in f"{Cmac(AES_128)!r}{Cmac(AES_128)}"
    assert not hasattr(Cmac(AES_128), "__dict__")
