"""Which answer belongs to which message. Pure: time is an argument, nothing here waits.

Theory of operation. One `Correlation` serves all links of one network, because an answer may come
back on another connection than its question left on. A message is known here from the moment its
bytes are handed to the wire, never before: an answer that overtakes its question is a stray.

    in flight --answer--> answered          a further answer is a Duplicate
     |   ^                   |  |
     |   +----keep_waiting---+  |           the answer said "in progress": the time starts over
     |                          |
     |                        doubt         the answer decides nothing: a better one is Late
     |                          v
     +-deadline, link lost--> unknown       the first answer is Late, a further one a Duplicate

The key has five parts: what version, class and function a message and its answer share ("fold"),
DE 11, DE 7, DE 32 and DE 37. The STAN alone wraps within minutes at rate, and a 0410 must never
answer the 0100 of the same STAN (iso8583.md 3.1). The parts are joined into one string, which
costs less memory than a tuple of them and is hashed once.

Every table is in order of time, so that the oldest is found at once: deadlines run from the first
byte written and are equal for all messages, so the order of sending is the order of expiry. The
answered and unknown ones are remembered for a bounded time and number. Hardly any of the answered
is taken out of turn, so a queue of their keys keeps their order, for half of what an OrderedDict
spends on it; a key that was taken out is passed over when its turn comes. What is remembered of an
answered message is its key and DE 39; only the unknown ones, far fewer, keep their token.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from functools import lru_cache
from typing import Any

from msgspec import Struct

from switch.iso8583.mti import fold
from switch.link.events import (
    Answered,
    CorrelationKey,
    Duplicate,
    Elsewhere,
    Fields,
    Late,
    LinkEvent,
    Unknown,
    Unmatched,
)

UNKNOWN_KEPT_MAX = 8_192  # messages whose token is kept for a late answer: a payment each
ANSWERED_KEPT_MAX = 65_536  # money.md 6: these, or those of 120 s, whichever are fewer
KEPT_S = 120.0

_RESPONSE_FUNCTIONS = frozenset("13")  # third digit of an MTI: response, advice response
_fold = lru_cache(maxsize=256)(fold)


class DuplicateKeyError(Exception):
    """A message has the key of one in flight or just settled: its answer could not be told."""


class SlotError(Exception):
    """A window slot was used twice or after its message was settled: a fault of ours."""


def correlation_key(fields: Fields) -> CorrelationKey:
    """The key that a message and its answer share; absent elements count as empty."""
    get = fields.get
    return f"{_fold(fields[0])}|{get(11, '')}|{get(7, '')}|{get(32, '')}|{get(37, '')}"


class Window:
    """How many messages one link has room for; slots are counted from reservation to outcome.

    `owner` is the link itself and `open` whether it takes new messages, for those who deal out
    slots; neither matters here.
    """

    __slots__ = ("in_flight", "link", "open", "owner", "size")

    def __init__(self, link: int, size: int, owner: Any = None) -> None:
        self.link = link
        self.size = size
        self.owner = owner
        self.open = False
        self.in_flight = 0


class Slot(Struct, gc=False, eq=False):
    """One message's place in a window, reserved before commit 1 and free again with its outcome.

    `token` is dropped as soon as the message is settled: the token may refer back to the slot, and
    neither takes part in garbage collection.
    """

    window: Window | None  # None once free
    key: CorrelationKey = ""
    token: Any = None
    frame: bytes = b""  # as it goes on the wire; dropped once it has
    accepted_at: float = 0.0  # monotonic seconds
    deadline: float = 0.0  # monotonic seconds, from the first byte written
    repeat: bool = False  # sent before under this key, which is settled

    def free(self) -> Any:
        """Give the place back and return the token.

        Raises:
            SlotError: it was given back before.
        """
        window = self.window
        if window is None:
            raise SlotError("a window slot was given back twice")
        window.in_flight -= 1
        self.window = None
        token = self.token
        self.token = None
        self.frame = b""
        return token


class Correlation:
    """The messages of one network that were sent, and what became of them.

    Args:
        deadline_s: from the first byte written to `Unknown`, in seconds.
        answered_max: answered messages remembered.
        kept_s: how long answered and unknown ones are remembered, in seconds.
        unknown_max: unknown ones remembered with their tokens; past it the oldest are forgotten
            and their answers become `Unmatched`.
        same_link: an answer must come by the link its message left on (a dialect's rule).
    """

    __slots__ = (
        "_answered",
        "_answered_max",
        "_answered_order",
        "_deadline_s",
        "_in_flight",
        "_kept_s",
        "_longer",
        "_same_link",
        "_stamp",
        "_unknown",
        "_unknown_max",
    )

    def __init__(
        self,
        deadline_s: float,
        *,
        answered_max: int = ANSWERED_KEPT_MAX,
        kept_s: float = KEPT_S,
        unknown_max: int = UNKNOWN_KEPT_MAX,
        same_link: bool = False,
    ) -> None:
        self._deadline_s = deadline_s
        self._answered_max = answered_max
        self._kept_s = kept_s
        self._unknown_max = unknown_max
        self._same_link = same_link
        self._longer = Window(-1, 0)  # of those that wait once more: their link has done its part
        self._stamp = (0.0, "")
        self._in_flight: OrderedDict[CorrelationKey, Slot] = OrderedDict()
        self._answered: dict[CorrelationKey, tuple[float, str]] = {}
        self._answered_order: deque[CorrelationKey] = deque()
        self._unknown: OrderedDict[CorrelationKey, tuple[float, Any]] = OrderedDict()

    def __len__(self) -> int:
        """Messages in flight."""
        return len(self._in_flight)

    @property
    def waiting_longer(self) -> int:
        """Messages in flight that no window counts any more."""
        return self._longer.in_flight

    @property
    def next_deadline(self) -> float | None:
        """When the next message becomes unknown, if it is not answered."""
        if not self._in_flight:
            return None
        return next(iter(self._in_flight.values())).deadline

    def sent(self, slot: Slot, now: float) -> None:
        """The first byte of this message is about to be written.

        A repeat carries the key of the message that it repeats, and takes its place: whatever is
        answered from now on answers both.

        Raises:
            DuplicateKeyError: the answer could not be told from another's; nothing was noted.
        """
        key = slot.key
        if key in self._in_flight or key in self._answered or key in self._unknown:
            if not slot.repeat or key in self._in_flight:
                raise DuplicateKeyError("a message with this key was sent before")
            self._answered.pop(key, None)
            self._unknown.pop(key, None)
        slot.deadline = now + self._deadline_s
        slot.frame = b""
        self._in_flight[key] = slot

    def answer(self, fields: Fields, now: float, link: int) -> LinkEvent:
        """Take a message that came in on `link` and say what it is to us.

        Anything that is no response by its MTI is `Unmatched`: a peer that sends our own message
        back must not answer it.
        """
        key = correlation_key(fields)
        if fields[0][2] not in _RESPONSE_FUNCTIONS:
            return Unmatched(key, fields, link)
        if self._same_link and (sent_on := self._other_link(key, link)) is not None:
            return Elsewhere(key, fields, link, sent_on)
        slot = self._in_flight.pop(key, None)
        if slot is not None:
            self._remember_answered(key, fields, now)
            return Answered(slot.free(), fields, link)
        kept = self._unknown.pop(key, None)
        if kept is not None:
            self._remember_answered(key, fields, now)
            return Late(kept[1], key, fields, link)
        first = self._answered.get(key)
        if first is not None:
            return Duplicate(key, fields, first[1], link)
        return Unmatched(key, fields, link)

    def doubt(self, key: CorrelationKey, token: Any, now: float) -> None:
        """Take an answer back that decides nothing: the message is unknown, as if by its deadline.

        A better answer that comes within the time that unknown ones are remembered is `Late`.
        """
        self._answered.pop(key, None)
        self._remember_unknown(key, token, now)

    def keep_waiting(self, key: CorrelationKey, token: Any, now: float) -> None:
        """Take an answer back that said "in progress" (DE 39 = 09): a whole deadline starts over.

        No window counts the message any more, and no lost link ends its waiting.
        """
        self._answered.pop(key, None)
        self._longer.in_flight += 1
        self._in_flight[key] = Slot(self._longer, key, token, deadline=now + self._deadline_s)

    def distrust(self, key: CorrelationKey, now: float) -> Unknown | None:
        """Give a message up whose answer is not authentic; None where none is in flight."""
        slot = self._in_flight.pop(key, None)
        return self._becomes_unknown(slot, "bad_mac", now) if slot is not None else None

    def expire(self, now: float) -> list[LinkEvent]:
        """The messages whose deadline has passed, oldest first; also forgets what is too old."""
        events: list[LinkEvent] = []
        in_flight = self._in_flight
        while in_flight:
            slot = next(iter(in_flight.values()))
            if slot.deadline > now:
                break
            del in_flight[slot.key]
            events.append(self._becomes_unknown(slot, "timeout", now))
        self._forget(now)
        return events

    def link_lost(self, window: Window, now: float) -> list[LinkEvent]:
        """All messages in flight that were sent on the link of this window."""
        lost = [slot for slot in self._in_flight.values() if slot.window is window]
        for slot in lost:
            del self._in_flight[slot.key]
        return [self._becomes_unknown(slot, "link_lost", now) for slot in lost]

    def _other_link(self, key: CorrelationKey, link: int) -> int | None:
        """The link that a message in flight left on, if it is another than this one."""
        slot = self._in_flight.get(key)
        window = slot.window if slot is not None else None
        if window is None or window is self._longer or window.link == link:
            return None
        return window.link

    def _becomes_unknown(self, slot: Slot, reason: str, now: float) -> Unknown:
        token = slot.free()
        self._remember_unknown(slot.key, token, now)
        return Unknown(token, reason)

    def _remember_unknown(self, key: CorrelationKey, token: Any, now: float) -> None:
        unknown = self._unknown
        unknown[key] = (now, token)
        if len(unknown) > self._unknown_max:
            unknown.popitem(last=False)

    def _remember_answered(self, key: CorrelationKey, fields: Fields, now: float) -> None:
        answered = self._answered
        stamp = self._stamp
        code = fields.get(39, "")
        # Most answers of one receive say the same: sharing the pair halves what is remembered.
        if stamp[0] != now or stamp[1] != code:
            stamp = self._stamp = (now, code)
        order = self._answered_order
        answered[key] = stamp
        order.append(key)
        if len(order) > self._answered_max:
            answered.pop(order.popleft(), None)

    def _forget(self, now: float) -> None:
        """Drop what was settled more than `kept_s` ago."""
        horizon = now - self._kept_s
        answered, order = self._answered, self._answered_order
        while order:
            stamp = answered.get(order[0])
            if stamp is not None and stamp[0] >= horizon:
                break
            answered.pop(order.popleft(), None)
        unknown = self._unknown
        while unknown and next(iter(unknown.values()))[0] < horizon:
            unknown.popitem(last=False)
