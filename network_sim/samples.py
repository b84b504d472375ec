"""A sign-on and a sale as an acquirer would send them: bytes to compare one's own with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import attrs

from switch.iso8583 import Dialect
from switch.iso8583.explain import Row, explain
from switch.iso8583.framing import framer_for

SAMPLE_PAN: Final = "4242424242424242"
SAMPLE_ACQUIRER: Final = "400001"


@attrs.frozen
class Sample:
    """One message.

    Attributes:
        title: what it is.
        hex: with length and header, upper case.
        rows: its elements, masked; empty unless asked for.
    """

    title: str
    hex: str
    rows: tuple[Row, ...]


def samples(dialect: Dialect, *, now: datetime | None = None, verbose: bool) -> list[Sample]:
    """An 0800 sign-on and an 0100 over 10.00 USD, of this minute.

    Args:
        dialect: of the messages.
        now: aware UTC; None = the clock.
        verbose: whether the elements are wanted, too.
    """
    moment = now or datetime.now(UTC)
    return [
        _sample(dialect, "0800 sign-on", sign_on(dialect, moment), verbose=verbose),
        _sample(dialect, "0100 authorization", authorization(dialect, moment), verbose=verbose),
    ]


def sign_on(dialect: Dialect, now: datetime) -> dict[int, str]:
    """The fields of the 0800 that opens a session."""
    return {
        0: "0800",
        7: now.strftime("%m%d%H%M%S"),
        11: "000001",
        70: dialect.network_functions["sign_on"],
    }


def authorization(dialect: Dialect, now: datetime) -> dict[int, str]:
    """The fields of an 0100 over 10.00 USD with a public test card."""
    fields = {
        0: "0100",
        2: SAMPLE_PAN,
        3: "000000",
        4: "000000001000",
        7: now.strftime("%m%d%H%M%S"),
        11: "000002",
        12: now.strftime("%H%M%S"),
        13: now.strftime("%m%d"),
        14: f"{(now.year + 4) % 100:02d}12",
        18: "5999",
        19: "840",
        22: dialect.policy.pos_entry_mode,
        25: dialect.policy.pos_condition_code,
        32: SAMPLE_ACQUIRER,
        37: f"{now:%j%H}0000002".rjust(12, "0"),
        41: "TERM0001",
        42: "MERCHANT0000001",
        43: dialect.fit(43, "SAMPLE SHOP          SPRINGFIELD    US"),
        49: "840",
    }
    return {number: text for number, text in fields.items() if not number or number in _of(dialect)}


def _of(dialect: Dialect) -> frozenset[int]:
    return frozenset(dialect.elements)


def _sample(dialect: Dialect, title: str, fields: dict[int, str], *, verbose: bool) -> Sample:
    packed = dialect.encode(fields)
    framer = framer_for(dialect.framing, dialect.framing.frame_bytes_max)
    rows = explain(dialect, packed).rows if verbose else ()
    return Sample(title, framer.wrap(packed).hex().upper(), rows)
