"""Private data in DE 48: a sequence of tag (2 characters), length (2 digits), value.

The length counts characters of the value, 01 to 99. Tags are letters and digits; each stands at
most once. Example: the CVC2 `123` travels as `9203123`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from switch.iso8583.elements import DE
from switch.iso8583.errors import DecodeError, EncodeError, Reason

CVC2_TAG: Final = "92"  # three or four digits; in authorization and financial requests only

_TAG = re.compile(r"[0-9A-Za-z]{2}")
_VALUE = re.compile(r"[ -~]{1,99}")
_ITEM = re.compile(r"([0-9A-Za-z]{2})([0-9]{2})")


def encode(tags: Mapping[str, str]) -> str:
    """Return the text of DE 48; leave the element out where there are no tags.

    Raises:
        EncodeError: DE 48, `BAD_TAG`: a tag or value of another form, or nothing to encode.
    """
    if not tags:
        raise EncodeError(DE.PRIVATE_DATA, 0, Reason.BAD_TAG)
    for tag, value in tags.items():
        if not (_TAG.fullmatch(tag) and _VALUE.fullmatch(value)):
            raise EncodeError(DE.PRIVATE_DATA, 0, Reason.BAD_TAG)
    return "".join(f"{tag}{len(value):02d}{value}" for tag, value in tags.items())


def decode(text: str) -> dict[str, str]:
    """Return value by tag, in the order of the text; tags nobody knows are returned as well.

    Raises:
        DecodeError: DE 48, `BAD_TAG`; `offset` counts characters of the element.
    """
    tags: dict[str, str] = {}
    offset = 0
    while offset < len(text):
        item = _ITEM.match(text, offset)
        if item is None:
            raise DecodeError(DE.PRIVATE_DATA, offset, Reason.BAD_TAG)
        tag, length = item[1], int(item[2])
        value = text[item.end() : item.end() + length]
        if tag in tags or len(value) != length or not _VALUE.fullmatch(value):
            raise DecodeError(DE.PRIVATE_DATA, offset, Reason.BAD_TAG)
        tags[tag] = value
        offset = item.end() + length
    return tags
