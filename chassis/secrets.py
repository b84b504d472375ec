"""Values that must not be seen: keys; and how a card number may be shown.

Theory of operation. Secrets leak where nobody decided to print them: an f-string, a debugger,
a JSON encoder, a pickle, an exception's arguments. A key here is therefore an object that
answers every such question with its mask and refuses to be copied or serialized. The one way to
the value is `reveal()`, a word that a reviewer can search for. Comparison takes constant time,
and there is no hash: a dictionary look-up would compare in variable time and keep a second copy.
Cards travel as records that keep to the same rules (`hsm_sim.wire.masked`).

What this cannot do: Python keeps the value in ordinary memory until it is collected, and
`reveal()` returns plain `bytes`. `chassis.log` masks what slips through there.
"""

from __future__ import annotations

import hmac
from typing import NoReturn, SupportsIndex

PAN_DIGITS_MIN = 12  # ISO/IEC 7812-1 and ISO 8583 DE 2
PAN_DIGITS_MAX = 19
_MASK = "<masked>"
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


class Key:
    """Key material, as raw bytes that only `reveal()` gives back.

    Raises:
        ValueError: there are none.
    """

    __slots__ = ("__material",)

    def __init__(self, material: bytes) -> None:
        if not material:
            raise ValueError("a key has at least one byte")
        self.__material = material

    def reveal(self) -> bytes:
        """The value in the clear: keep it short-lived and away from messages and logs."""
        return self.__material

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_MASK})"

    def __str__(self) -> str:
        return _MASK

    def __format__(self, format_spec: str) -> str:
        """The mask, whatever the format asks for: a width or precision tells of the value."""
        return _MASK

    def __eq__(self, other: object) -> bool:
        """Equal type and value, compared in time independent of where they differ."""
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, Key)
        return hmac.compare_digest(self.__material, other.__material)

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
