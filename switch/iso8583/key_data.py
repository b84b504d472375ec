"""How a session key travels in an 0800 or 0810: DE 60 carries its name and the key itself, wrapped.

    DE 60   key id (16 digits), key block under the key-exchange key (`chassis.key_block`), check
            value (6 hex digits)

The id is what DE 53 says in every message whose MAC the key has made. DE 53 of the message that
brings the key names the key of that message's own MAC, if it has one: another key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

import attrs

KEY_DATA_DE: Final = 60
KEY_ID_DIGITS: Final = 16
CHECK_VALUE_CHARS: Final = 6


class KeyDataError(ValueError):
    """A message carries no key where it should; says what is missing, never the data."""


@attrs.frozen
class KeyData:
    """A key on its way.

    Attributes:
        key_id: sixteen digits.
        key_block: the key, wrapped; not secret, and shown to nobody all the same.
        check_value: six hex digits.
    """

    key_id: str
    key_block: str = attrs.field(repr=False)
    check_value: str

    def elements(self) -> dict[int, str]:
        """What a message that brings the key carries beside its own elements."""
        return {KEY_DATA_DE: self.key_id + self.key_block + self.check_value}

    @classmethod
    def of(cls, fields: Mapping[int, str]) -> Self:
        """Read the key out of a message.

        Raises:
            KeyDataError: DE 60 is missing, too short, or does not begin with a key id.
        """
        data = fields.get(KEY_DATA_DE, "")
        key_id, rest = data[:KEY_ID_DIGITS], data[KEY_ID_DIGITS:]
        if not (len(key_id) == KEY_ID_DIGITS and key_id.isdecimal()):
            raise KeyDataError("DE 60 does not begin with a key id")
        if len(rest) <= CHECK_VALUE_CHARS:
            raise KeyDataError("DE 60 holds no key")
        return cls(key_id, rest[:-CHECK_VALUE_CHARS], rest[-CHECK_VALUE_CHARS:])
