"""Messages of an acquirer, for whoever plays one against a simulated network."""

from __future__ import annotations

from collections.abc import Mapping

APPROVED_PAN = "4242424242424242"


def sale(changes: Mapping[int, str | None] | None = None) -> dict[int, str]:
    """The fields of a 0200 sale over 24.99 USD; a change to None leaves an element out."""
    fields: dict[int, str | None] = {
        0: "0200",
        2: APPROVED_PAN,
        3: "000000",
        4: "000000002499",
        7: "1122071002",
        11: "000123",
        12: "071002",
        13: "1122",
        14: "3012",
        18: "5999",
        19: "840",
        22: "810",
        25: "59",
        32: "400001",
        37: "0ABCDEF12345",
        41: "TERM0001",
        42: "MERCHANT0000001",
        43: "DEMO SHOP            SAN FRANCISCO CA US",
        49: "840",
        **(changes or {}),
    }
    return {number: text for number, text in fields.items() if text is not None}


def reversal(original: Mapping[int, str], changes: Mapping[int, str | None]) -> dict[int, str]:
    """The fields of a 0420 for `original`; `changes` should bring its own DE 11."""
    acquirer_id = original[32].rjust(11, "0")
    original_data = f"{original[0]}{original[11]}{original[7]}{acquirer_id}{'0' * 11}"
    kept: dict[int, str | None] = {**original, 0: "0420", 14: None, 48: None, 90: original_data}
    return {number: text for number, text in {**kept, **changes}.items() if text is not None}


def management(function: str, stan: str = "000001") -> dict[int, str]:
    """The fields of an 0800; functions of NET87B: 001 sign-on, 002 sign-off, 301 echo."""
    return {0: "0800", 7: "1122071000", 11: stan, 70: function}
