"""All links to one network as one: windows, matching, deadlines, drain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import trio

from chassis.bell import Bell
from chassis.framing import FrameError
from chassis.log import get_logger
from chassis.settings.tree import Network
from switch.core.breaker import Breaker, BreakerState
from switch.iso8583 import Dialect
from switch.iso8583.framing import framer_for
from switch.link.authentication import Authentication
from switch.link.context import Connect, LinkContext, NetworkDay
from switch.link.correlation import (
    ANSWERED_KEPT_MAX,
    KEPT_S,
    Correlation,
    Slot,
    SlotError,
    Window,
    correlation_key,
)
from switch.link.counters import LinkCounters
from switch.link.events import Answered, CorrelationKey, Fields, LinkEvent, NotSent, Unknown
from switch.link.places import Places
from switch.link.questions import Question, settle_questions
from switch.link.runner import Link
from switch.link.session import SETTLEMENT_DATE, EchoPolicy, Told

DEADLINE_GRAIN_S: Final = 0.01  # time-outs are told of in batches, at most this much late
NETWORK_FAILURES: Final = frozenset({"link_lost", "no_link", "outbox_full", "too_old"})
RUN_MESSAGES: Final = 32  # in a row on one link: about 5 kB, well within one TLS record

log = get_logger(__name__)


def _ignore(_settlement_date: str) -> None:
    """For groups that nobody asks about settlement dates."""


class LinkGroup:
    """The connections to one network.

    Args:
        name: the network's name, for logs.
        network: its settings.
        dialect: encodes network management, decodes everything.
        connect: makes one connection; bounded by `network.connect_timeout_s`.
        on_events: gets what one receive or one tick brought, synchronously, in order. It must be
            quick and must not raise; it may call `reserve` and `send`.
        next_stan: DE 11 and DE 7 for a network-management message.
        lease_holds: whether financial messages may leave at this instant; asked before every chunk
            that is sent, so it must be quick.
        answered_max: answered messages remembered to recognize duplicates.
        kept_s: how long settled messages are remembered, in seconds.
        settlement_date: DE 15 of the network's last cutover, MMDD; empty = there was none.
        on_cutover: gets DE 15 of each cutover, after it was answered; must be quick.
        authenticate: makes what makes and verifies MACs, given what raises an alarm; None where
            messages carry none.

    Attributes:
        counters: totals over all links.
        day: the settlement date that the network has told.
        authentication: MACs and their keys; None where messages carry none.
        breaker: whether the network is worth trying.
        links: one for each of `network.connections`, and those that are on their way out.
    """

    def __init__(
        self,
        name: str,
        network: Network,
        dialect: Dialect,
        connect: Connect,
        *,
        on_events: Callable[[list[LinkEvent]], None],
        next_stan: Callable[[], tuple[str, str]],
        lease_holds: Callable[[], bool],
        answered_max: int = ANSWERED_KEPT_MAX,
        kept_s: float = KEPT_S,
        settlement_date: str = "",
        on_cutover: Callable[[str], None] = _ignore,
        authenticate: Callable[[Callable[[str], None]], Authentication] | None = None,
    ) -> None:
        self.name = name
        self.counters = LinkCounters()
        self.day = NetworkDay(settlement_date)
        self.authentication = authenticate(self._alarm) if authenticate is not None else None
        self._on_cutover = on_cutover
        self._network = network
        self._on_events = on_events
        self._lease_holds = lease_holds
        self._correlation = Correlation(
            network.response_deadline_s,
            answered_max=answered_max,
            kept_s=kept_s,
            same_link=not dialect.policy.answers_on_other_links,
        )
        self._wrap = framer_for(dialect.framing, network.frame_bytes_max, frame_bytes_min=1).wrap
        self._encode = self.authentication.encode if self.authentication else dialect.encode
        self._asked_until = 0.0  # events may be about questions, which are nobody else's; 0 = none
        self._kept_s = kept_s
        self._refused: list[LinkEvent] = []
        self._timer = Bell()
        self._changes = trio.lowlevel.ParkingLot()
        self._draining = False
        self.breaker = Breaker(
            failures_max=network.breaker_failures_max,
            window_s=network.breaker_window_s,
            pause_s=network.breaker_pause_s,
        )
        self._run_window: Window | None = None  # of the current run, and what is left of it
        self._run_left = 0
        self._ended = trio.Event()
        context = LinkContext(
            name=name,
            network=network,
            dialect=dialect,
            echo=EchoPolicy.of(network, dialect.policy),
            connect=connect,
            next_stan=next_stan,
            correlation=self._correlation,
            counters=self.counters,
            day=self.day,
            deliver=self._deliver,
            changed=self._changes.unpark_all,
            told=self._heed,
            authentication=self.authentication,
            lease_holds=lease_holds,
        )
        self._places = Places(context, self._changes)
        self.links = self._places.links

    @property
    def up_count(self) -> int:
        """Links that take messages now."""
        return sum(link.up for link in self.links)

    @property
    def capacity(self) -> int:
        """Window slots of all links, up or not."""
        return sum(link.window.size for link in self.links)

    @property
    def in_flight(self) -> int:
        """Messages between reservation and outcome: window slots taken, and what waits longer."""
        in_windows = sum(link.window.in_flight for link in self.links)
        return in_windows + self._correlation.waiting_longer

    @property
    def sent_total(self) -> int:
        """Financial messages sent so far."""
        return sum(link.sent_total for link in self.links)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep all links up until they were drained; started at once, links come up later."""
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_time)
                if self.authentication is not None:
                    nursery.start_soon(self.authentication.run, self.links)
                await self._places.run()
                nursery.cancel_scope.cancel()
            self._deliver_due()
        finally:
            self._ended.set()

    async def wait_up(self, count: int = 1) -> None:
        """Wait until so many links take messages."""
        while self.up_count < count:
            await self._changes.park()

    def reserve(self) -> Slot | None:
        """Take a window slot on the link with the fewest messages in flight.

        None: no room, no lease to send under, or a network that does not answer. The choice stands
        for `RUN_MESSAGES`: frames that leave together cost one system call, and one wake-up at the
        network, where frames dealt out one by one cost one each.
        """
        if self._draining:
            return None
        window = self._run_window
        if (
            self._run_left <= 0
            or window is None
            or window.in_flight >= window.size
            or not window.open
        ):
            window = self._begin_run()
            if window is None:
                return None
        self._run_left -= 1
        window.in_flight += 1
        return Slot(window)

    def _begin_run(self) -> Window | None:
        """Choose the link of the messages to come, and how many of them it gets."""
        room = self._network.window_max - self.in_flight
        may_send = room > 0 and self._lease_holds() and self.breaker.allows(trio.current_time())
        window = self._run_window = self._places.least_loaded() if may_send else None
        tentative = self.breaker.state is not BreakerState.CLOSED
        self._run_left = 1 if tentative else min(RUN_MESSAGES, room)
        return window

    def release(self, slot: Slot) -> None:
        """Give back a slot whose message was not handed to `send`.

        Raises:
            SlotError: it was given back before.
        """
        slot.free()
        if self._draining or self._places.retiring:
            self._changes.unpark_all()

    def send(
        self,
        slot: Slot,
        key: CorrelationKey,
        frame: bytes,
        token: Any,
        accepted_at: float,
        *,
        repeat: bool = False,
    ) -> None:
        """Queue a message on its slot's link, or on another that is up; never blocks.

        The slot is given back by the group, with the message's first event: exactly one of
        Answered, Unknown and NotSent follows for each call, never from within it.

        Args:
            slot: as reserved; used once.
            key: `correlation_key` of the message.
            frame: the encoded message, without length; of `Authentication.encode`, where messages
                carry MACs.
            token: comes back with the events; kept for up to two minutes after an unknown one.
            accepted_at: when the payment came in, on Trio's clock; a message older than
                `network.max_send_age_s` is not sent.
            repeat: the message was sent before under this key, and was answered or is unknown.

        Raises:
            SlotError: the slot is not, or no longer, reserved.
        """
        window = slot.window
        if window is None or slot.key:
            raise SlotError("a window slot carries one message")
        slot.key = key
        slot.token = token
        slot.accepted_at = accepted_at
        slot.repeat = repeat
        if self.authentication is None:
            self._queue(slot, frame)
        else:
            give_up_at = accepted_at + self._network.max_send_age_s
            self.authentication.protect(slot, frame, give_up_at, self._queue, self._refuse)

    def _queue(self, slot: Slot, frame: bytes) -> None:
        """Put a message on its slot's link, or on another that is up."""
        try:
            slot.frame = self._wrap(frame)
        except FrameError:
            self._refuse(slot, "frame_too_large")
            return
        window: Any = slot.window
        link = window.owner
        if not link.may_send:
            other = self._places.least_loaded()
            if other is None:
                self._refuse(slot, "no_link")
                return
            window.in_flight -= 1
            other.in_flight += 1
            slot.window = other
            link = other.owner
        if not link.enqueue(slot):
            self._refuse(slot, "outbox_full")

    async def ask(self, fields: Fields) -> Fields | None:
        """Send a message that belongs to no payment; its answer, None if it has none in time."""
        slot = self.reserve()
        if slot is None:
            return None
        now, question = trio.current_time(), Question()
        self._asked_until = now + self._network.response_deadline_s + self._kept_s
        try:
            frame = self._encode(fields)
        except BaseException:
            self.release(slot)
            raise
        self.send(slot, correlation_key(fields), frame, question, now)
        await question.settled.wait()
        return question.answer

    def doubt(self, answer: Fields, token: Any) -> None:
        """Take an answer back that decides nothing; for whoever judged its `Answered` or `Late`.

        The message is unknown from now on; a better answer comes as `Late` with this token.
        """
        self._correlation.doubt(correlation_key(answer), token, trio.current_time())

    def keep_waiting(self, answer: Fields, token: Any) -> None:
        """Wait a whole response time more for a message whose answer says "in progress".

        Once more exactly one of Answered and Unknown follows, with this token.
        """
        self._correlation.keep_waiting(correlation_key(answer), token, trio.current_time())

    async def drain(self) -> None:
        """Take nothing new, wait for what is in flight, sign off, close; then `run` returns.

        Bounded: a message in flight becomes unknown at its deadline.
        """
        self._draining = True
        self._places.drain()
        with trio.move_on_after(self._places.settled_within_s):
            while self.in_flight:
                await self._changes.park()
        self._places.sign_off()
        await self._ended.wait()

    def renew(self) -> None:
        """Make every connection anew, one after the other and without a gap."""
        self._places.renew()

    def _heed(self, told: Told, link: Link, frame: bytes) -> None:
        """A link was told something that concerns the whole network."""
        if told.function == "cutover":
            self._cut_over(told)
        elif self.authentication is not None:
            self.authentication.heed(told, link, frame)

    def _cut_over(self, told: Told) -> None:
        settlement_date = told.fields[SETTLEMENT_DATE]
        log.info("cutover", network=self.name, settlement_date=settlement_date)
        self.day.settlement_date = settlement_date
        self._on_cutover(settlement_date)

    def _alarm(self, reason: str) -> None:
        self.counters.alarms_total += 1
        log.error("network_alarm", network=self.name, reason=reason)

    def _refuse(self, slot: Slot, reason: str) -> None:
        """Report a message as not sent in the next tick: its sender is still in `send`."""
        self._refused.append(NotSent(slot.free(), reason))
        self._timer.ring()

    def _deliver(self, events: list[LinkEvent]) -> None:
        self.counters.events.update(map(type, events))
        if self.breaker.failures or type(events[0]) is not Answered:
            self._judge_network(events)
        if self._asked_until:
            if trio.current_time() > self._asked_until:
                self._asked_until = 0.0
            events = settle_questions(events)
        self._on_events(events)
        if self._draining or self._places.retiring:
            self._changes.unpark_all()

    def _judge_network(self, events: list[LinkEvent]) -> None:
        """Open the breaker when nothing has come back for a while, close it when anything does."""
        kinds = Counter(map(type, events))
        failures = kinds[Unknown] + sum(
            isinstance(event, NotSent) and event.reason in NETWORK_FAILURES for event in events
        )
        if kinds[Answered]:
            if self.breaker.answered():
                log.info("breaker_closed", network=self.name)
        elif failures and self.breaker.failed(failures, trio.current_time()):
            self._run_left = 0
            log.error("breaker_open", network=self.name, failures=self.breaker.failures)

    async def _keep_time(self) -> None:
        """One timer for all deadlines of the group, which nobody has to wake for a message.

        A message sent while nothing is in flight has its deadline no sooner than a whole response
        time from now, so it is enough to look again by then.
        """
        while True:
            now = trio.current_time()
            deadline = self._correlation.next_deadline
            if deadline is None:
                deadline = now + self._network.response_deadline_s
            wake_at = max(deadline, now + DEADLINE_GRAIN_S)
            if not self._refused:
                with trio.move_on_at(wake_at):
                    await self._timer.wait()
            self._deliver_due()

    def _deliver_due(self) -> None:
        events = self._refused
        self._refused = []
        events += self._correlation.expire(trio.current_time())
        if events:
            self._deliver(events)
