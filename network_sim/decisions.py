"""What goes into a decision of the issuer, and what comes out of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import attrs
from msgspec import Struct

OTHER_CODE: Final = "other"  # what scripts rule, among the counted codes


class Moment(Struct, frozen=True, gc=False):
    """The time of one batch of decisions."""

    at_us: int  # microseconds since 1970, UTC
    at_text: str  # the same, as the record writes it
    month: str  # YYMM, comparable with DE 14

    @classmethod
    def at(cls, at_us: int) -> Moment:
        """From microseconds since 1970."""
        instant = datetime.fromtimestamp(at_us // 1_000_000, UTC)
        return cls(at_us, str(at_us), f"{instant.year % 100:02d}{instant.month:02d}")

    @property
    def transmission(self) -> str:
        """DE 7 of a message sent now: MMDDhhmmss, UTC."""
        return datetime.fromtimestamp(self.at_us // 1_000_000, UTC).strftime("%m%d%H%M%S")


class Ruling(Struct, frozen=True, gc=False):
    """What a script decides in the issuer's place.

    It is decided like anything else: a scripted approval moves money, a scripted decline is
    remembered. Only a capture or reversal is not decided at all where its ruling refuses it, so
    that it may be repeated.
    """

    response_code: str = ""  # DE 39; empty = the issuer's own
    approved: int = 0  # of a partial approval (10), in minor units
    under_way_ms: int = 0  # the answer is held back so long on its way; inquiries hear 09


class Decision(Struct, gc=False):
    """What the network does with one message."""

    answer: dict[int, str]
    delay_ms: int = 0  # before the answer leaves; `NEVER_MS` = it never does
    line: str = ""  # for the record; empty where nothing new was decided


@attrs.define
class IssuerCounters:
    """Plain counters, read by `network_sim.metrics`."""

    decided: dict[str, int]  # new decisions by response code
    refused: dict[str, int]  # messages that could not be decided, by response code
    repeats_total: int = 0  # answered again from memory
    conflicts_total: int = 0  # same key, another body: 94
    reversals_first_total: int = 0  # messages that their reversal had overtaken
    inquiries_total: int = 0
    reconciliations_total: int = 0

    def count(self, code: str) -> None:
        """Count a new decision."""
        decided = self.decided
        decided[code if code in decided else OTHER_CODE] += 1
