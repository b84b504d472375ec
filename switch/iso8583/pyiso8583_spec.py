"""A dialect in the form that pyiso8583 wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from switch.iso8583.elements import Element

Spec = dict[str, dict[str, Any]]


def spec_of(elements: Mapping[int, Element]) -> Spec:
    """Return the specification dict that `iso8583.encode` and `iso8583.decode` take.

    pyiso8583 knows no amounts with a sign: an x+n element is binary to it, the sign as the hex of
    its ASCII code.
    """
    bitmap = {"data_enc": "b", "len_enc": "b", "len_type": 0, "max_len": 8, "desc": "bitmap"}
    return {
        "h": {**bitmap, "max_len": 0, "desc": "no header"},
        "t": {**bitmap, "max_len": 2, "desc": "message type"},
        "p": bitmap,
        "1": bitmap,
        **{str(number): _element_spec(element) for number, element in elements.items()},
    }


def _element_spec(element: Element) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "data_enc": "ascii" if element.kind in ("an", "ans") else "b",
        "len_enc": "bcd",
        "len_type": element.prefix_bytes,
        "max_len": element.length_max,
        "desc": element.name,
    }
    if element.kind == "x+n":
        spec["max_len"] = 1 + element.length_max // 2
    if element.kind in ("n", "z"):
        spec["len_count"] = "nibbles"
        spec["left_pad" if element.pad_left else "right_pad"] = "0"
    return spec
