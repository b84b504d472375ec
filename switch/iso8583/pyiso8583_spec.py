"""A dialect in the form that pyiso8583 wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from switch.iso8583.elements import Element
from switch.iso8583.head import Head

Spec = dict[str, dict[str, Any]]


def spec_of(elements: Mapping[int, Element], head: Head) -> Spec:
    """Return the specification dict that `iso8583.encode` and `iso8583.decode` take.

    pyiso8583 knows no amounts with a sign: an x+n element of packed digits is binary to it, the
    sign as the hex of its byte. A third bitmap, where a message has one, it keeps under key 1.
    """
    bitmap = {"data_enc": "b", "len_enc": "b", "len_type": 0, "max_len": 8, "desc": "bitmap"}
    return {
        "h": {**bitmap, "max_len": 0, "desc": "no header"},
        "t": {
            **bitmap,
            "data_enc": "b" if head.mti == "bcd" else head.charset.name,
            "max_len": head.mti_bytes,
            "desc": "message type",
        },
        "p": bitmap,
        "1": bitmap,
        **{str(number): _element_spec(element) for number, element in elements.items()},
    }


def _element_spec(element: Element) -> dict[str, Any]:
    prefix = element.prefix
    spec: dict[str, Any] = {
        "data_enc": "b" if element.packed or element.kind == "b" else element.charset.name,
        "len_enc": {"bcd": "bcd", "binary": "b", "text": prefix.charset.name}[prefix.kind],
        "len_type": prefix.size,
        "max_len": element.length_max + int(element.signed),
        "desc": element.name,
    }
    if element.signed and element.packed:
        spec["max_len"] = element.size_bytes(element.length_max)
    elif element.packed and prefix.unit == 1:
        spec["len_count"] = "nibbles"
        spec["left_pad" if element.pad_left else "right_pad"] = "0"
    elif element.packed:
        spec["max_len"] = element.length_max // prefix.unit
    return spec
