"""What one link has yet to send, cut into chunks. Pure: time is an argument.

A chunk is what one `send_all` gets: at most one TLS record, so that an error makes few messages
unknown. A message counts as sent from the moment it is taken into a chunk; whatever is refused
here has not left, not one byte of it (money.md 5).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from switch.link.correlation import Correlation, DuplicateKeyError, Slot
from switch.link.events import LinkEvent, NotSent

CHUNK_BYTES_MAX: Final = 16_384  # plaintext of one TLS record (RFC 8446, 5.1)
CONTROL_FRAMES_MAX: Final = 256  # network management owed to a peer that does not read


class LinkOutbox:
    """Financial messages in order, and network management that goes ahead of them.

    Args:
        correlation: where sent messages are noted.
        frames_max: financial messages that may wait.
        age_max_s: how old a message may be when it is sent, in seconds.

    Attributes:
        sent_total: financial messages taken into chunks.
    """

    __slots__ = ("_age_max_s", "_control", "_correlation", "_frames_max", "_slots", "sent_total")

    def __init__(self, correlation: Correlation, *, frames_max: int, age_max_s: float) -> None:
        self._correlation = correlation
        self._frames_max = frames_max
        self._age_max_s = age_max_s
        self._slots: deque[Slot] = deque()
        self._control: deque[bytes] = deque()
        self.sent_total = 0

    def __len__(self) -> int:
        """Financial messages waiting."""
        return len(self._slots)

    def put(self, slot: Slot) -> bool:
        """Queue a message whose frame is wrapped; False if there is no room."""
        if len(self._slots) >= self._frames_max:
            return False
        self._slots.append(slot)
        return True

    def put_control(self, frame: bytes) -> bool:
        """Queue a wrapped network-management message; False if there is no room."""
        if len(self._control) >= CONTROL_FRAMES_MAX:
            return False
        self._control.append(frame)
        return True

    def next_chunk(self, now: float, *, signed_on: bool) -> tuple[bytes, list[LinkEvent]]:
        """The next chunk, empty if there is nothing to send, and the messages refused meanwhile.

        Args:
            now: monotonic seconds; the deadlines of what is taken start here.
            signed_on: whether financial messages may leave.
        """
        parts: list[bytes] = []
        refused: list[LinkEvent] = []
        room = CHUNK_BYTES_MAX
        control = self._control
        while control and len(control[0]) <= room:
            room -= len(control[0])
            parts.append(control.popleft())
        if signed_on and self._slots:
            self._take_messages(parts, refused, room, now)
        return b"".join(parts), refused

    def _take_messages(
        self, parts: list[bytes], refused: list[LinkEvent], room: int, now: float
    ) -> None:
        slots, sent = self._slots, self._correlation.sent
        oldest = now - self._age_max_s
        before = len(parts)
        while slots:
            slot = slots[0]
            frame = slot.frame
            if len(frame) > room:
                break
            slots.popleft()
            if slot.accepted_at < oldest:
                refused.append(NotSent(slot.free(), "too_old"))
                continue
            try:
                sent(slot, now)
            except DuplicateKeyError:
                refused.append(NotSent(slot.free(), "duplicate_key"))
                continue
            room -= len(frame)
            parts.append(frame)
        self.sent_total += len(parts) - before

    def refuse_aged(self, now: float) -> list[LinkEvent]:
        """Give up what grew too old while it waited."""
        oldest = now - self._age_max_s
        slots = self._slots
        aged: list[LinkEvent] = []
        while slots and slots[0].accepted_at < oldest:
            aged.append(NotSent(slots.popleft().free(), "too_old"))
        return aged

    def refuse_all(self, reason: str) -> list[LinkEvent]:
        """Give up everything: the link takes no more messages."""
        refused: list[LinkEvent] = [NotSent(slot.free(), reason) for slot in self._slots]
        self._slots.clear()
        return refused

    def drop_control(self) -> None:
        """Forget network management of a connection that has ended."""
        self._control.clear()
