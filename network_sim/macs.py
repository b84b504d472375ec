"""MACs of messages: DE 64, or DE 128 where an element above 64 is there. Pure.

A MAC is AES-CMAC over the packed message from the MTI to the byte before the MAC, the MAC's bit
set in the bitmap, cut to eight bytes; header and length are no part of it. DE 53 says by which key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum, unique
from typing import Final

from chassis.mac import MESSAGE_MAC_BYTES
from network_sim.keys import KeyServer, MacKey
from switch.iso8583 import DE

NO_MAC: Final = "00" * MESSAGE_MAC_BYTES
_MAC_ELEMENTS: Final = frozenset({DE.MAC, DE.MAC_2})
_SECONDARY: Final = 64  # elements above it have a bitmap of their own


@unique
class Verdict(StrEnum):
    """What is to be said of a message's MAC."""

    GOOD = "good MAC"
    ABSENT = "no MAC"
    UNKNOWN_KEY = "MAC by a key that is not ours"
    WRONG = "wrong MAC"


def mac_element(numbers: Iterable[int]) -> int:
    """Where the MAC of a message with these elements belongs."""
    return DE.MAC_2 if max(numbers) > _SECONDARY else DE.MAC


def with_mac_elements(fields: Mapping[int, str], key: MacKey) -> dict[int, str]:
    """A message that names its key and has room for its MAC; pack it, then `seal` it."""
    prepared = {**fields, DE.SECURITY_CONTROL: key.key_id}
    prepared[mac_element(prepared)] = NO_MAC
    return prepared


def seal(message: bytes, key: MacKey) -> bytes:
    """Put the MAC into a message that was packed with room for it, which is its end."""
    authenticated = message[:-MESSAGE_MAC_BYTES]
    return authenticated + key.cmac.message_mac(authenticated)


def judge(
    message: bytes, fields: Mapping[int, str], keys: KeyServer, now_us: int
) -> tuple[Verdict, MacKey | None]:
    """What a received message's MAC is worth, and by which key it is good."""
    if fields.keys().isdisjoint(_MAC_ELEMENTS):
        return Verdict.ABSENT, None
    key = keys.find(fields.get(DE.SECURITY_CONTROL, ""), now_us)
    if key is None:
        return Verdict.UNKNOWN_KEY, None
    authenticated = message[:-MESSAGE_MAC_BYTES]
    if _last_in_place(fields) and key.cmac.verifies(authenticated, message[-MESSAGE_MAC_BYTES:]):
        return Verdict.GOOD, key
    return Verdict.WRONG, None


def _last_in_place(fields: Mapping[int, str]) -> bool:
    """Whether the MAC is the last element, there is one only, and it is where it belongs."""
    if max(fields) == DE.MAC:
        return True
    return max(fields) == mac_element(fields.keys() - _MAC_ELEMENTS)
