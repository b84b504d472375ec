"""What comes in on one link: cut into frames, decoded, and matched, all that one receive brought.

Network management is handed to the link, which answers it; everything else goes to the correlation
table, and the events that follow go to the group in one call. A message that cannot be decoded is
counted and told of, a few a second, and the connection stays: its frame is whole, so the next one
begins where it should.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chassis.framing import FramePhase, Framer, FrameTimer
from chassis.log import get_logger
from switch.iso8583 import CodecError
from switch.iso8583.framing import Returned, framer_for
from switch.link.context import LinkContext
from switch.link.events import Fields, LinkEvent
from switch.link.session import SETTLEMENT_DATE

NETWORK_MANAGEMENT: Final = "8"  # the second digit of an MTI
Manage = Callable[[Fields, float, bytes], None]

log = get_logger(__name__)


class Inbound:
    """The receiving half of a link, over all its connections.

    Args:
        link: its number.
        context: what it shares with others.
        manage: takes a network-management message, the time, and the frame it came in.

    Attributes:
        framer: of the present connection, which also wraps what is sent on it.
        connection: of the link's, counted.
    """

    def __init__(self, link: int, context: LinkContext, manage: Manage) -> None:
        self._link = link
        self._context = context
        self._manage = manage
        self._undecodable = 0  # since the last log line about them
        self._last_undecodable = ""
        self.framer: Framer
        self._timer: FrameTimer
        self.connection = 0
        self.begin()

    def begin(self) -> None:
        """Forget what was left of the last connection."""
        self.connection += 1
        network = self._context.network
        self.framer = framer_for(self._context.dialect.framing, network.frame_bytes_max)
        self._timer = FrameTimer(
            self.framer,
            header_timeout_s=network.frame_header_timeout_s,
            body_timeout_s=network.frame_body_timeout_s,
        )

    def cut(self, data: bytes, now: float) -> list[bytes]:
        """The frames that are whole now; what has gone wrong behind them shows in `framer.broken`.

        Raises:
            FrameError: the framing was lost before.
        """
        self._context.counters.bytes_received_total += len(data)
        frames = self.framer.feed(data)
        self._context.counters.received_total += len(frames)
        self._timer.observe(now)
        return frames

    def match(self, frames: list[bytes], now: float) -> tuple[list[LinkEvent], int]:
        """Decode and match frames; the events, and how many frames were keep-alive signs."""
        context = self._context
        decode, answer, link, day = (
            context.dialect.decode,
            context.correlation.answer,
            self._link,
            context.day,
        )
        events: list[LinkEvent] = []
        empty = 0
        for frame in frames:
            if not frame:
                empty += 1
                continue
            try:
                fields = decode(frame)
            except CodecError as error:
                self._cannot_decode(frame, error)
                continue
            if fields[0][1] == NETWORK_MANAGEMENT:
                self._manage(fields, now, frame)
            else:
                if day.settlement_date:
                    fields.setdefault(SETTLEMENT_DATE, day.settlement_date)
                events.append(answer(fields, now, link))
        context.counters.keep_alives_total += empty
        return events, empty

    def overdue(self, now: float) -> str:
        """What part of a frame should have come by now, in words; empty = nothing."""
        phase = self._timer.overdue(now)
        if phase is FramePhase.NOTHING:
            return ""
        return f"the {phase.name.lower()} of a frame did not arrive in time"

    def _cannot_decode(self, frame: bytes, error: CodecError) -> None:
        self._context.counters.undecodable_total += 1
        self._undecodable += 1
        self._last_undecodable = _why_undecodable(frame, error)

    def report(self) -> None:
        """Tell of what could not be decoded since the last report, if anything."""
        if not self._undecodable:
            return
        log.warning(
            "undecodable_messages",
            network=self._context.name,
            link=self._link,
            count=self._undecodable,
            last=self._last_undecodable,
        )
        self._undecodable = 0


def _why_undecodable(frame: bytes, error: CodecError) -> str:
    """Element, offset and reason, or what the network said of our own message: never data."""
    if isinstance(frame, Returned):
        return f"a message of ours returned with reject code {frame.reject_code}"
    return str(error)
