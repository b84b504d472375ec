"""Key blocks of version D: published blocks, a second implementation, and everything spoiled."""

from __future__ import annotations

import os
from typing import Final

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given
from hypothesis import strategies as st

from chassis.key_block import (
    KeyAttributes,
    KeyBlockError,
    padding_bytes,
    unwrap_key,
    wrap_key,
)
from chassis.mac import check_value_text

# TR-31:2018, A.7.4, and ANSI X9.143-2021, 8.1: one key under one key-exchange key, the first
# padded to the next cipher block, the second to the longest key of the algorithm.
KEK: Final = bytes.fromhex("88E1AB2A2E3DD38C1FA039A536500CC8A87AB9D62DC92C01058FA79F44657DE6")
KEY: Final = bytes.fromhex("3F419E1CB7079442AA37474C2EFBF8B8")
PIN_KEY: Final = KeyAttributes("P0", "A", "E", exportability="E")
TR31_A74_PADDING: Final = bytes.fromhex("1C2965473CE206BB855B01533782")
TR31_A74: Final = (
    "D0112P0AE00E0000B82679114F470F540165EDFBF7E250FCEA43F810D215F8D2"
    "07E2E417C07156A27E8E31DA05F7425509593D03A457DC34"
)
X9143_81: Final = (
    "D0144P0AE00E00002C77FA3F4A553BED6E88AE5C172A4166E3D4ACA8E2AC71C1"
    "58A476FAC12C13C3829DE55D3AB54C48F4C4FEF7AC75E90FC47F1B77E7B19A73"
    "ED46E64410082557"
)
# A 256-bit key wrapped by a commercial payment HSM; only block and check value are known of it.
FOREIGN: Final = (
    "D0144D0AN00N0000127862F945C2DED04530FAF7CDBC8B0BA10C7AA79BD5E0C2"
    "C5D6AC173BF588E4B19ACF1357178D50EA0AB193228E13958304FC6149632DFD"
    "CADF3A5B3D57E814"
)
MAC_KEY: Final = KeyAttributes("M6", "A", "C")
LENGTHS: Final = (16, 24, 32)
PAIRS: Final = [(kek, key) for kek in LENGTHS for key in LENGTHS if key <= kek]


def test_a_published_block_is_made_byte_by_byte() -> None:
    """With the padding of the example the block is the example's."""
    assert wrap_key(KEK, KEY, PIN_KEY, padding=TR31_A74_PADDING) == TR31_A74


@pytest.mark.parametrize("block", [TR31_A74, X9143_81])
def test_published_blocks_unwrap(block: str) -> None:
    """Short or long padding, it is the same key."""
    assert unwrap_key(KEK, block) == (PIN_KEY, KEY)


def test_a_foreign_block_unwraps_to_the_key_of_its_check_value() -> None:
    """Somebody else's device and this code agree on 256 bits."""
    attributes, key = unwrap_key(b"A" * 32, FOREIGN)
    assert attributes == KeyAttributes("D0", "A", "N", exportability="N")
    assert (len(key), check_value_text(key)) == (32, "0A00E3")


# A second implementation, on AES of single blocks alone, from the public descriptions: CMAC from
# NIST SP 800-38B 6.1 and 6.2, the derivation and the block from X9.143.


def _aes(key: bytes, block: bytes) -> bytes:
    return Cipher(AES(key), ECB()).encryptor().update(block)


def _doubled(block: bytes) -> bytes:
    number = int.from_bytes(block, "big") << 1
    return ((number ^ (0x87 if number >> 128 else 0)) & ((1 << 128) - 1)).to_bytes(16, "big")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _cmac(key: bytes, message: bytes) -> bytes:
    sub_key = _doubled(_aes(key, bytes(16)))
    blocks = [message[start : start + 16] for start in range(0, len(message), 16)] or [b""]
    if len(blocks[-1]) < 16:
        sub_key = _doubled(sub_key)
        blocks[-1] = blocks[-1] + b"\x80" + bytes(15 - len(blocks[-1]))
    state = bytes(16)
    for block in blocks[:-1]:
        state = _aes(key, _xor(state, block))
    return _aes(key, _xor(_xor(state, blocks[-1]), sub_key))


def _wrap_again(kek: bytes, clear: bytes, header: str) -> str:
    bits = len(kek) * 8
    algorithm = {128: "0002", 192: "0003", 256: "0004"}[bits]

    def derived(usage: str) -> bytes:
        data = [bytes.fromhex(f"{n:02x}{usage}00{algorithm}{bits:04x}") for n in (1, 2)]
        return b"".join(_cmac(kek, each) for each in data)[: bits // 8]

    mac = chained = _cmac(derived("0001"), header.encode() + clear)
    text = header
    for start in range(0, len(clear), 16):
        chained = _aes(derived("0000"), _xor(chained, clear[start : start + 16]))
        text += chained.hex().upper()
    return text + mac.hex().upper()


def _clear(key: bytes, padding: bytes) -> bytes:
    return (len(key) * 8).to_bytes(2, "big") + key + padding


def test_the_second_implementation_knows_the_published_block() -> None:
    """What the first is held to is right in itself."""
    assert _wrap_again(KEK, _clear(KEY, TR31_A74_PADDING), "D0112P0AE00E0000") == TR31_A74


@pytest.mark.parametrize(("kek_bytes", "key_bytes"), PAIRS)
def test_two_implementations_make_the_same_block(kek_bytes: int, key_bytes: int) -> None:
    """For every pair of key lengths."""
    kek, key = os.urandom(kek_bytes), os.urandom(key_bytes)
    padding = os.urandom(padding_bytes(key))
    block = wrap_key(kek, key, MAC_KEY, padding=padding)
    assert block == _wrap_again(kek, _clear(key, padding), "D0144M6AC00N0000")


@pytest.mark.parametrize("optional", ["TS0A202601", "KS1800604B120F9292800000", ""])
def test_optional_blocks_are_authenticated_and_passed_over(optional: str) -> None:
    """With a padding block behind it, as others make them, each unwraps; changed, none does."""
    count = 1 + bool(optional)
    filling = f"PB{4 + -(len(optional) + 4) % 16:02X}" + "0" * (-(len(optional) + 4) % 16)
    chars = 16 + len(optional + filling) + 128
    header = f"D{chars:04}M6AC00E{count:02}00{optional}{filling}"
    block = _wrap_again(KEK, _clear(KEY, os.urandom(30)), header)
    assert unwrap_key(KEK, block) == (KeyAttributes("M6", "A", "C", exportability="E"), KEY)
    with pytest.raises(KeyBlockError, match="does not verify"):
        unwrap_key(KEK, block[: len(header) - 1] + "1" + block[len(header) :])


@given(
    lengths=st.sampled_from(PAIRS),
    usage=st.sampled_from(["M6", "K1", "D0", "P0"]),
    mode=st.sampled_from("CGVEN"),
    version=st.sampled_from(["00", "01", "c1"]),
    exportability=st.sampled_from("ENS"),
)
def test_what_was_wrapped_unwraps(
    lengths: tuple[int, int], usage: str, mode: str, version: str, exportability: str
) -> None:
    """Key and attributes come back, every key length makes a block of one size."""
    kek, key = os.urandom(lengths[0]), os.urandom(lengths[1])
    attributes = KeyAttributes(usage, "A", mode, version, exportability)
    block = wrap_key(kek, key, attributes, padding=os.urandom(padding_bytes(key)))
    assert len(block) == 144
    assert unwrap_key(kek, block) == (attributes, key)


def test_equal_keys_make_different_blocks() -> None:
    """Nobody sees that a key was sent twice."""
    blocks = {wrap_key(KEK, KEY, MAC_KEY, padding=os.urandom(30)) for _ in range(4)}
    assert len(blocks) == 4


@given(position=st.integers(0, 143), other=st.sampled_from("0123456789ABCDEFMNPS"))
def test_no_character_can_be_changed(position: int, other: str) -> None:
    """Header, key or MAC: a changed block is refused, whatever the change makes it look like."""
    if X9143_81[position] == other:
        return
    with pytest.raises(KeyBlockError):
        unwrap_key(KEK, X9143_81[:position] + other + X9143_81[position + 1 :])


@pytest.mark.parametrize("kek", [bytes(32), bytes(16), KEK[:31] + b"\xe7"])
def test_another_key_exchange_key_opens_nothing(kek: bytes) -> None:
    """The refusal is the one of an altered block."""
    with pytest.raises(KeyBlockError, match="does not verify under this key-exchange key"):
        unwrap_key(kek, X9143_81)


MALFORMED: Final = {
    "empty": ("", "ASCII characters"),
    "header alone": (X9143_81[:16], "ASCII characters"),
    "too long": ("D9999P0AE00E0000" + "0" * 1_009, "ASCII characters"),
    "other script": ("D0144P0AE00E000\u0660" + X9143_81[16:], "ASCII characters"),
    "version A": ("A" + X9143_81[1:], "only blocks of version D"),
    "version B": ("B" + X9143_81[1:], "only blocks of version D"),
    "version C": ("C" + X9143_81[1:], "only blocks of version D"),
    "lower-case version": ("d" + X9143_81[1:], "only blocks of version D"),
    "cut": (X9143_81[:-32], "length in the header"),
    "trailing data": (X9143_81 + "00", "length in the header"),
    "signed length": ("D+144" + X9143_81[5:], "length in the header"),
    "lower-case usage": ("D0144p0" + X9143_81[7:], "attributes"),
    "unknown exportability": (X9143_81[:11] + "X" + X9143_81[12:], "attributes"),
    "optional blocks uncounted": (X9143_81[:12] + "0A" + X9143_81[14:], "number of optional"),
    "optional block absent": (X9143_81[:12] + "01" + X9143_81[14:], "optional block"),
    "optional block too short": ("D0144P0AE00E0100TS03" + X9143_81[20:], "too short, or of ext"),
    "optional block extended": ("D0144P0AE00E0100TS00" + X9143_81[20:], "too short, or of ext"),
    "optional block beyond the end": ("D0144P0AE00E0100TSF0" + X9143_81[20:], "do not fill"),
    "lower-case hex": (X9143_81[:16] + X9143_81[16:].lower(), "in hex"),
    "half a cipher block": ("D0128" + X9143_81[5:-16], "cipher blocks in hex"),
    "no key": ("D0048" + X9143_81[5:48], "no key between"),
}


@pytest.mark.parametrize(("block", "complaint"), MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_block_is_refused_by_name(block: str, complaint: str) -> None:
    """The reason names the place and none of the content."""
    with pytest.raises(KeyBlockError, match=complaint) as refused:
        unwrap_key(KEK, block)
    assert X9143_81[16:32] not in str(refused.value)


@pytest.mark.parametrize("bits", [0, 7, 129, 384, 65_535])
def test_a_length_that_lies_is_refused(bits: int) -> None:
    """Also where the block verifies: its sender holds the key and got it wrong."""
    block = _wrap_again(KEK, bits.to_bytes(2, "big") + KEY + bytes(30), "D0144M6AC00N0000")
    with pytest.raises(KeyBlockError, match="length of the key"):
        unwrap_key(KEK, block)


def test_a_key_that_is_none_of_its_algorithm_is_refused() -> None:
    """Eight bytes are no AES key, whoever wrapped them; of another algorithm we do not judge."""
    clear = (64).to_bytes(2, "big") + bytes(46)
    with pytest.raises(KeyBlockError, match="an AES key has"):
        unwrap_key(KEK, _wrap_again(KEK, clear, "D0144M6AC00N0000"))
    attributes, key = unwrap_key(KEK, _wrap_again(KEK, clear, "D0144M3TC00N0000"))
    assert (attributes.algorithm, key) == ("T", bytes(8))


@pytest.mark.parametrize(
    ("kek", "key", "attributes", "padding", "complaint"),
    [
        (bytes(15), KEY, MAC_KEY, 30, "key-exchange key has 16, 24 or 32"),
        (KEK, bytes(15), MAC_KEY, 31, "AES key has 16, 24 or 32"),
        (KEK, b"", MAC_KEY, 46, "AES key has 16, 24 or 32"),
        (KEK[:16], KEK, MAC_KEY, 14, "weaker"),
        (KEK[:24], KEK, MAC_KEY, 14, "weaker"),
        (KEK, KEY, MAC_KEY, 29, "padding"),
        (KEK, KEY, KeyAttributes("M", "A", "C"), 30, "do not fit"),
        (KEK, KEY, KeyAttributes("M6", "A", "C", "0"), 30, "do not fit"),
        (KEK, KEY, KeyAttributes("M6", "A", "C", exportability="Y"), 30, "do not fit"),
    ],
)
def test_wrapping_refuses_what_it_cannot_protect(
    kek: bytes, key: bytes, attributes: KeyAttributes, padding: int, complaint: str
) -> None:
    """Weak keys, odd lengths and attributes that a header cannot hold."""
    with pytest.raises(KeyBlockError, match=complaint):
        wrap_key(kek, key, attributes, padding=bytes(padding))


def test_a_key_exchange_key_of_another_length_is_no_key() -> None:
    """Unwrapping checks it too."""
    with pytest.raises(KeyBlockError, match="16, 24 or 32"):
        unwrap_key(bytes(20), X9143_81)
