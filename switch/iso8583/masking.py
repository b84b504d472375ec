"""A message's fields as they may be shown: in timelines, logs and reports.

Fails closed: only elements known to hold nothing of the card are shown as they are. The PAN is cut
to what PCI DSS 3.4.1 allows, private data shows its tags and no value, free text is searched for
card numbers, everything else (track data, expiry, PIN and ICC data, elements nobody has thought
about) is hidden whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chassis.masking import mask_text
from chassis.secrets import masked_pan
from switch.iso8583 import private
from switch.iso8583.elements import DE
from switch.iso8583.errors import DecodeError

HIDDEN: Final = "[hidden]"

# What names a message, its amounts, its times, its merchant and its outcome. Among those left out:
# 14 expiry, 23 card sequence number, 34 extended PAN, 35, 36 and 45 tracks, 44, 46 and 47 free
# data, 52 PIN block, 53 security control, 55 ICC data, 56 to 61 and 63 reserved and private, 64,
# 96 and 128 authentication codes, 98 and from 101 on names and accounts.
_SHOWN: Final = frozenset(
    {
        *range(3, 14),
        *range(15, 23),
        *range(24, 34),
        *range(37, 43),
        *(49, 50, 51, 54),
        DE.MTI,
        DE.PRIVATE_62,  # of an inquiry's answer: the outcome of the original
        *range(66, 96),
        *(97, 99, 100),
    }
)
_FREE_TEXT: Final = DE.CARD_ACCEPTOR_NAME_LOCATION


def mask_fields(fields: Mapping[int, str]) -> dict[int, str]:
    """Return a copy of a message's fields that may be shown, in ascending order.

    The PAN keeps its first six and last four digits (`masked_pan`); DE 48 becomes its tags, such
    as `92=[hidden]`.
    """
    return {number: _masked(number, fields[number]) for number in sorted(fields)}


def _masked(number: int, text: str) -> str:
    if number == DE.PAN:
        return masked_pan(text)
    if number == DE.PRIVATE_DATA:
        return _masked_private(text)
    if number == _FREE_TEXT:
        return mask_text(text)
    return text if number in _SHOWN else HIDDEN


def _masked_private(text: str) -> str:
    try:
        tags = private.decode(text)
    except DecodeError:
        return HIDDEN
    return " ".join(f"{tag}={HIDDEN}" for tag in tags)
