"""The sealed card of contract 3: its text form, its `info`, its plaintext. Pure.

A sealed card is `v1.<kid>.<base64url of enc ‖ ciphertext>`. Parsing is strict to the last bit:
one ciphertext has exactly one text, because a ciphertext is accepted once per intent and a second
spelling of it would be a second ciphertext. So no padding, no other alphabet, and the bits of the
last character that carry no data must be zero.

The plaintext has a fixed length of 256 bytes (it hides the length of number and name):

    0x01, then number, MM, YYYY, CVC, name, each as uint8 length ‖ UTF-8, then zeros

Every fault is the one `hsm_sim.hpke.OpenError`, as if the ciphertext had not opened.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from typing import Final, NoReturn

from msgspec import Struct

from hsm_sim.hpke import TAG_BYTES, HPKESuite, OpenError

PLAINTEXT_BYTES: Final = 256
KID_BYTES: Final = 8
_LABEL: Final = "turnout-card-v1"
_WIRE_VERSION: Final = "v1"
_PLAINTEXT_VERSION: Final = 1
_NUMBER_DIGITS: Final = range(12, 20)
_CVC_DIGITS: Final = (0, 3, 4)
_FROM_BASE64URL: Final = bytes.maketrans(b"-_+/", b"+/!!")  # "!" is in no alphabet
_LAST_WITH_FOUR_ZERO_BITS: Final = "AQgw"  # enc ‖ ciphertext is 3n + 1 bytes in both suites


class ClearCard(Struct, gc=False, frozen=True):
    """What a sealed card says, checked for form only; digits are strings."""

    number: str  # 12-19 digits
    month: str  # MM
    year: str  # YYYY, 2000-2099
    cvc: str  # 3-4 digits, or empty
    name: str

    def __repr__(self) -> str:
        """Never the card."""
        return "ClearCard(<masked>)"

    def __reduce__(self) -> NoReturn:
        """A card is never pickled or copied."""
        raise TypeError("ClearCard holds card data and cannot be pickled")


def key_id(suite_number: int, public_key: bytes) -> str:
    """Derive the kid: base64url of the first 8 bytes of SHA-256(suite byte ‖ public key)."""
    digest = hashlib.sha256(bytes((suite_number,)) + public_key).digest()
    return urlsafe_b64encode(digest[:KID_BYTES]).rstrip(b"=").decode()


def split(text: str) -> tuple[str, str]:
    """Split the text form into its kid and its base64url, neither of them checked yet.

    Raises:
        OpenError: it has not three parts, or another version.
    """
    parts = text.split(".")
    if len(parts) != 3 or parts[0] != _WIRE_VERSION:
        raise OpenError
    return parts[1], parts[2]


def sealed_chars(suite: HPKESuite) -> int:
    """Count the base64url characters of a sealed card: 406 (X25519) or 450 (P-256)."""
    sealed_bytes = suite.enc_bytes + PLAINTEXT_BYTES + TAG_BYTES
    return (sealed_bytes * 8 + 5) // 6


def decode(text: str, chars: int) -> bytes:
    """Decode `chars` characters of base64url, refusing every second spelling.

    Raises:
        OpenError: another length, a foreign character, or bits set that carry no data.
    """
    if len(text) != chars or text[-1] not in _LAST_WITH_FOUR_ZERO_BITS:
        raise OpenError
    try:
        return a2b_base64(text.encode("ascii").translate(_FROM_BASE64URL) + b"==", strict_mode=True)
    except ValueError:  # binascii.Error and UnicodeEncodeError are both
        raise OpenError from None


def info_prefix(kid: str, *, live: bool) -> bytes:
    """Build the part of `info` that is constant for a key and mode."""
    return b"".join(_prefixed(part) for part in (_LABEL, kid, "live" if live else "test"))


def card_info(prefix: bytes, publishable_key: str, intent: str) -> bytes:
    """Build `info` (contract 3): each part as uint16 big-endian length ‖ UTF-8.

    Raises:
        OpenError: a part is too long for its length, so no card was ever sealed for it.
    """
    try:
        return prefix + _prefixed(publishable_key) + _prefixed(intent)
    except OverflowError:
        raise OpenError from None


def _prefixed(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def parse_card(plaintext: bytes | bytearray) -> ClearCard:
    """Parse the 256 bytes of an opened card, strictly.

    Raises:
        OpenError: any departure from the layout above; number not 12-19 digits, month not
            01-12, year not 2000-2099, CVC neither empty nor 3-4 digits, name not UTF-8.
    """
    if len(plaintext) != PLAINTEXT_BYTES or plaintext[0] != _PLAINTEXT_VERSION:
        raise OpenError
    fields = []
    start = 1
    for _ in range(5):
        if start >= PLAINTEXT_BYTES:
            raise OpenError
        end = start + 1 + plaintext[start]
        fields.append(plaintext[start + 1 : end])
        start = end
    number, month, year, cvc, name = fields
    if not (
        start <= PLAINTEXT_BYTES
        and plaintext.count(0, start) == PLAINTEXT_BYTES - start
        and len(number) in _NUMBER_DIGITS
        and len(month) == 2
        and year[:2] == b"20"
        and len(year) == 4
        and len(cvc) in _CVC_DIGITS
        and (number + month + year + cvc).isdigit()  # of bytes: ASCII digits only
        and b"01" <= month <= b"12"
    ):
        raise OpenError
    try:
        return ClearCard(
            number.decode(), month.decode(), year.decode(), cvc.decode(), name.decode()
        )
    except UnicodeDecodeError:
        raise OpenError from None
