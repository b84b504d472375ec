"""Values that must not be seen: card numbers, card verification codes, keys.

Theory of operation. Card data leaks where nobody decided to print it: an f-string, a debugger,
a JSON encoder, a pickle, an exception's arguments. A secret here is therefore an object that
answers every such question with its mask and refuses to be copied or serialized. The one way to
the value is `reveal()`, a word that a reviewer can search for. Comparison takes constant time,
and there is no hash: a dictionary look-up would compare in variable time and keep a second copy.

What this cannot do: Python keeps the value in ordinary memory until it is collected, and
`reveal()` returns a plain `str` or `bytes`. `chassis.log` masks what slips through there.
"""

from __future__ import annotations

import hmac
from typing import Generic, NoReturn, SupportsIndex, TypeVar

Revealed = TypeVar("Revealed", str, bytes)

PAN_DIGITS_MIN = 12  # ISO/IEC 7812-1 and ISO 8583 DE 2
PAN_DIGITS_MAX = 19
CVC_DIGITS_MIN = 3
CVC_DIGITS_MAX = 4
_SHOWN_PREFIX = 6  # PCI DSS 3.4.1: the BIN and the last four are the most that may be shown
_SHOWN_SUFFIX = 4
_PREFIX_SHOWN_FROM = 16  # shorter numbers would keep fewer than six digits hidden


def masked_pan(digits: str) -> str:
    """Show a card number as its first six and last four digits, the rest as `*`.

    Numbers under sixteen digits show the last four only; what is no card number at all (too
    short, or with anything but the digits 0-9) is hidden whole.

    >>> masked_pan("4242424242424242")
    '424242******4242'
    """
    length = len(digits)
    if not (PAN_DIGITS_MIN <= length <= PAN_DIGITS_MAX and _are_digits(digits)):
        return "*" * length
    shown_prefix = _SHOWN_PREFIX if length >= _PREFIX_SHOWN_FROM else 0
    hidden = length - shown_prefix - _SHOWN_SUFFIX
    return digits[:shown_prefix] + "*" * hidden + digits[-_SHOWN_SUFFIX:]


def _are_digits(text: str) -> bool:
    """Whether `text` is ASCII digits only; `str.isdigit` alone takes other scripts' too."""
    return text.isascii() and text.isdigit()


class Secret(Generic[Revealed]):
    """Base of the secret types: holds a `str` or `bytes` that only `reveal()` gives back."""

    __slots__ = ("__value",)

    def __init__(self, value: Revealed) -> None:
        self.__value: Revealed = value

    def reveal(self) -> Revealed:
        """The value in the clear: keep it short-lived and away from messages and logs."""
        return self.__value

    def _mask(self) -> str:
        """What may be shown in place of the value."""
        return "<masked>"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._mask()})"

    def __str__(self) -> str:
        return self._mask()

    def __format__(self, format_spec: str) -> str:
        """The mask, whatever the format asks for: a width or precision tells of the value."""
        return self._mask()

    def __eq__(self, other: object) -> bool:
        """Equal type and value, compared in time independent of where they differ."""
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, Secret)
        return hmac.compare_digest(_as_bytes(self.__value), _as_bytes(other.__value))

    __hash__ = None  # type: ignore[assignment]  # see the theory of operation

    def _refuse(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is secret: it is not copied or serialized")

    def __copy__(self) -> NoReturn:
        self._refuse()

    def __deepcopy__(self, memo: object) -> NoReturn:
        self._refuse()

    def __reduce__(self) -> NoReturn:
        self._refuse()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        self._refuse()

    def __getstate__(self) -> NoReturn:
        self._refuse()


def _as_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


class Pan(Secret[str]):
    """A card number (DE 2): 12 to 19 digits. Raises `ValueError` on anything else."""

    __slots__ = ()

    def __init__(self, digits: str) -> None:
        if not (PAN_DIGITS_MIN <= len(digits) <= PAN_DIGITS_MAX and _are_digits(digits)):
            raise ValueError("a card number has 12 to 19 digits and nothing else")
        super().__init__(digits)

    def _mask(self) -> str:
        return masked_pan(self.reveal())


class Cvc(Secret[str]):
    """A card verification code: 3 or 4 digits. Raises `ValueError` on anything else."""

    __slots__ = ()

    def __init__(self, digits: str) -> None:
        if not (CVC_DIGITS_MIN <= len(digits) <= CVC_DIGITS_MAX and _are_digits(digits)):
            raise ValueError("a card verification code has 3 or 4 digits and nothing else")
        super().__init__(digits)


class Key(Secret[bytes]):
    """Key material, as raw bytes. Raises `ValueError` if there are none."""

    __slots__ = ()

    def __init__(self, material: bytes) -> None:
        if not material:
            raise ValueError("a key has at least one byte")
        super().__init__(material)
