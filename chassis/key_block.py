"""Key blocks of version D: a key under a key-exchange key, bound to what it may be used for. Pure.

Theory of operation. ANSI X9.143 (before: TR-31) wraps a key so that its usage cannot be taken off:

    header, 16 ASCII characters and optional blocks │ ciphertext, hex │ MAC, 32 hex digits
    D 0144 M6 A C 00 N 00 00                        │                 │

    position  0  version D: AES, keys by derivation     8     mode of use, C = make and verify
              1  length of all, four digits             9-10  version of the key, 00 = none
              5  usage, M6 = CMAC                       11    exportability: E, N or S
              7  algorithm, A = AES                     12-15 number of optional blocks, reserved

The key-exchange key itself encrypts nothing. CMAC in counter mode derives two keys from it, of its
own length, one to encrypt and one to authenticate (`_derive`). The clear part is the key's length
in bits, the key, and random padding up to what the longest key of the algorithm would need, so
that the block does not tell how long the key is. The MAC is CMAC over header and clear part; it is
also the IV of AES-CBC over the clear part. So neither a bit of the header nor one of the key can be
changed, and equal keys make different blocks.

Versions A, B and C are refused: they bind by weaker means, or with TDES.

A wrong key, a changed header and a changed ciphertext are one error with one text: whoever sends us
blocks learns nothing from the difference. No error holds key material or the block.
"""

from __future__ import annotations

import re
from hmac import compare_digest
from typing import Final

from attrs import frozen
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from chassis.mac import CMAC_BYTES, KEY_LENGTHS, Cmac

BLOCK_CHARS_MAX: Final = 1_024  # a MAC key's block has 144; leaves room for optional blocks
_VERSION: Final = "D"
_HEADER_CHARS: Final = 16
_CIPHER_BLOCK: Final = 16
_LENGTH_BYTES: Final = 2
_LONGEST_KEY: Final = 32
_ATTRIBUTES: Final = re.compile(r"[A-Z0-9]{2}[A-Z0-9][A-Z0-9][A-Za-z0-9]{2}[ENS]")
_HEX: Final = re.compile(r"(?:[0-9A-F]{2})+")
_OPTIONAL_CHARS_MIN: Final = 4  # an identifier of two characters and the length, two hex digits
# Algorithm indicators of the derivation data (X9.143, table of key derivation): AES by key length.
_DERIVED_ALGORITHM: Final = {16: b"\x00\x02", 24: b"\x00\x03", 32: b"\x00\x04"}
_TO_ENCRYPT: Final = b"\x00\x00"
_TO_AUTHENTICATE: Final = b"\x00\x01"


class KeyBlockError(ValueError):
    """A key block is not acceptable; says why, never what it holds."""


@frozen
class KeyAttributes:
    """What a key may be used for, as its header says; see X9.143 for the letters."""

    usage: str  # M6 = MAC by CMAC, K1 = key-exchange key, P0 = PIN encryption, …
    algorithm: str  # A = AES
    mode: str  # C = make and verify, G = make, V = verify, …
    version: str = "00"
    exportability: str = "N"  # N = stays where it was brought; E, S = may go on, wrapped

    @property
    def text(self) -> str:
        """The seven header characters from the usage to the exportability."""
        return self.usage + self.algorithm + self.mode + self.version + self.exportability


def padding_bytes(key: bytes) -> int:
    """How much padding hides the length of a key among those of its algorithm."""
    filled = _LENGTH_BYTES + _LONGEST_KEY
    return filled + -filled % _CIPHER_BLOCK - _LENGTH_BYTES - len(key)


def wrap_key(kek: bytes, key: bytes, attributes: KeyAttributes, *, padding: bytes) -> str:
    """Wrap an AES key.

    Args:
        kek: the key-exchange key, 16, 24 or 32 bytes and no weaker than `key`.
        key: 16, 24 or 32 bytes.
        attributes: what the receiver may use it for.
        padding: fresh random bytes, `padding_bytes(key)` of them.

    Raises:
        KeyBlockError: a length or an attribute is not allowed.
    """
    _check_kek(kek)
    if len(key) not in KEY_LENGTHS:
        raise KeyBlockError("an AES key has 16, 24 or 32 bytes")
    if len(key) > len(kek):
        raise KeyBlockError("the key-exchange key is weaker than the key")
    if not _ATTRIBUTES.fullmatch(attributes.text):
        raise KeyBlockError("the attributes do not fit a header")
    clear = (len(key) * 8).to_bytes(_LENGTH_BYTES, "big") + key + padding
    if len(clear) % _CIPHER_BLOCK:
        raise KeyBlockError("the padding does not fill a cipher block")
    chars = _HEADER_CHARS + 2 * (len(clear) + CMAC_BYTES)
    header = f"{_VERSION}{chars:04}{attributes.text}0000"
    encrypting, authenticating = _derive(kek)
    mac = authenticating.of(header.encode() + clear)
    encryptor = Cipher(AES(encrypting), CBC(mac)).encryptor()
    ciphertext = encryptor.update(clear) + encryptor.finalize()
    return header + (ciphertext + mac).hex().upper()


def unwrap_key(kek: bytes, block: str) -> tuple[KeyAttributes, bytes]:
    """Unwrap a key block.

    The caller judges the attributes; optional blocks are authenticated and passed over.

    Raises:
        KeyBlockError: not a block of version D, or it does not verify under this key.
    """
    _check_kek(kek)
    attributes, header, body = _split(block)
    ciphertext, mac = body[:-CMAC_BYTES], body[-CMAC_BYTES:]
    encrypting, authenticating = _derive(kek)
    decryptor = Cipher(AES(encrypting), CBC(mac)).decryptor()
    clear = decryptor.update(ciphertext) + decryptor.finalize()
    if not compare_digest(authenticating.of(header.encode() + clear), mac):
        raise KeyBlockError("the block does not verify under this key-exchange key")
    bits = int.from_bytes(clear[:_LENGTH_BYTES], "big")
    key = clear[_LENGTH_BYTES : _LENGTH_BYTES + bits // 8]
    if bits % 8 or not key or len(key) != bits // 8:
        raise KeyBlockError("the length of the key is not that of its bytes")
    if attributes.algorithm == "A" and len(key) not in KEY_LENGTHS:
        raise KeyBlockError("an AES key has 16, 24 or 32 bytes")
    return attributes, key


def _check_kek(kek: bytes) -> None:
    if len(kek) not in KEY_LENGTHS:
        raise KeyBlockError("a key-exchange key has 16, 24 or 32 bytes")


def _derive(kek: bytes) -> tuple[bytes, Cmac]:
    """The key that encrypts and the one that authenticates, of the length of `kek`.

    CMAC under `kek` over: counter, usage (2 bytes), zero, algorithm (2), length in bits (2).
    """
    rest = b"\x00" + _DERIVED_ALGORITHM[len(kek)] + (len(kek) * 8).to_bytes(2, "big")
    keyed = Cmac(kek)
    encrypting, authenticating = (
        b"".join(
            keyed.of(counter.to_bytes(1, "big") + usage + rest)
            for counter in range(1, 1 + -(-len(kek) // CMAC_BYTES))
        )[: len(kek)]
        for usage in (_TO_ENCRYPT, _TO_AUTHENTICATE)
    )
    return encrypting, Cmac(authenticating)


def _split(block: str) -> tuple[KeyAttributes, str, bytes]:
    """Attributes, header with its optional blocks, and the bytes after it."""
    if not block.isascii() or not _HEADER_CHARS < len(block) <= BLOCK_CHARS_MAX:
        raise KeyBlockError(f"a block is {_HEADER_CHARS} to {BLOCK_CHARS_MAX} ASCII characters")
    if block[0] != _VERSION:
        raise KeyBlockError("only blocks of version D are accepted")
    if not block[1:5].isdecimal() or int(block[1:5]) != len(block):
        raise KeyBlockError("the length in the header is not the block's")
    if not _ATTRIBUTES.fullmatch(block[5:12]):
        raise KeyBlockError("the attributes in the header are malformed")
    header_chars = _header_chars(block)
    body = block[header_chars:]
    if not _HEX.fullmatch(body) or len(body) % (2 * _CIPHER_BLOCK):
        raise KeyBlockError("the part after the header is not whole cipher blocks in hex")
    if len(body) < 2 * (_CIPHER_BLOCK + CMAC_BYTES):
        raise KeyBlockError("there is no key between header and MAC")
    attributes = KeyAttributes(
        usage=block[5:7],
        algorithm=block[7],
        mode=block[8],
        version=block[9:11],
        exportability=block[11],
    )
    return attributes, block[:header_chars], bytes.fromhex(body)


def _header_chars(block: str) -> int:
    """Where the header ends, its optional blocks included."""
    if not block[12:14].isdecimal():
        raise KeyBlockError("the number of optional blocks is not a number")
    end = _HEADER_CHARS
    for _ in range(int(block[12:14])):
        length = block[end + 2 : end + _OPTIONAL_CHARS_MIN]
        if len(length) != 2 or not _HEX.fullmatch(length):
            raise KeyBlockError("an optional block is malformed")
        if int(length, 16) < _OPTIONAL_CHARS_MIN:  # 00 would announce a longer length field
            raise KeyBlockError("an optional block is too short, or of extended length")
        end += int(length, 16)
    if end % _CIPHER_BLOCK or end >= len(block):
        raise KeyBlockError("the optional blocks do not fill the header")
    return end
