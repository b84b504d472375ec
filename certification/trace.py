"""What went over the wire, as both sides of a case may look at it and a person may read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import attrs

from switch.iso8583.masking import mask_fields

Direction = Literal["in", "out", "event"]
SHOWN_MAX: Final = 60  # lines of a report; what is judged is the whole trace


@attrs.frozen(kw_only=True)
class Line:
    """One message, or something that happened to a connection."""

    at_us: int  # microseconds since 1970
    at_s: float  # of Trio's clock
    direction: Direction  # as the network sees it: in = from the acquirer
    connection: int
    fields: Mapping[int, str]
    note: str = ""  # an event, or what was done to the message

    @property
    def mti(self) -> str:
        """The message type, empty for an event."""
        return self.fields.get(0, "")

    def shown(self) -> str:
        """One masked line."""
        arrow = {"in": "→", "out": "←", "event": "·"}[self.direction]
        masked = mask_fields(dict(self.fields))
        parts = [masked.get(0, "")]
        parts += [f"{de}={masked[de]}" for de in sorted(masked) if de and de not in _UNSHOWN]
        if self.note:
            parts.append(f"({self.note})")
        return f"{arrow} #{self.connection} {' '.join(part for part in parts if part)}"


# Merchant and time elements that say the same in every message of a case.
_UNSHOWN: Final = frozenset({12, 13, 14, 18, 19, 22, 25, 33, 41, 42, 43})


def shown(lines: list[Line]) -> list[str]:
    """The lines of a report, times from the first one on; a long trace is cut in its middle."""
    if not lines:
        return []
    began = lines[0].at_s
    texts = [f"+{line.at_s - began:7.3f} {line.shown()}" for line in lines]
    if len(texts) <= SHOWN_MAX:
        return texts
    half = SHOWN_MAX // 2
    return [*texts[:half], f"… {len(texts) - 2 * half} more lines …", *texts[-half:]]
