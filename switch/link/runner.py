"""One link to a network: its reader, its writer and its watch. The Trio side of a session.

Theory of operation. Messages are appended to the link's outbox by ordinary function calls; the
writer takes one chunk after the other and hands each to `send_all` in one call. The reader hands
everything one receive brought to the codec and the correlation table, and the resulting events to
the pipeline in one call. All time limits of a connection (sign-on, echo, half frames, a peer that
does not read) are looked after by one watch that wakes a few times within the shortest of them. So
no task, lock, cancel scope, timer or log line is spent on a message.

When a connection ends, what waits in the outbox was not sent, and what was sent and is unanswered
is unknown. Then the link dials again, with back-off and full jitter, until it is drained.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio

from chassis.backoff import Backoff
from chassis.bell import Bell
from chassis.framing import FrameError, FramePhase, FrameTimer
from chassis.log import get_logger
from chassis.settings.tree import Network
from switch.core.numbers import NumbersExhaustedError
from switch.iso8583 import CodecError, Dialect
from switch.iso8583.framing import Returned, framer_for
from switch.link.correlation import Correlation, Slot, Window
from switch.link.counters import LinkCounters
from switch.link.events import Fields, LinkEvent
from switch.link.outbox import LinkOutbox
from switch.link.session import Alarm, Close, Effect, Send, Session, State

CLOSE_TIMEOUT_S: Final = 1.0  # for TLS to say good-bye
WATCH_INTERVAL_MAX_S: Final = 0.5
NETWORK_MANAGEMENT: Final = "8"  # the second digit of an MTI
STREAM_ERRORS = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)

log = get_logger(__name__)


@attrs.frozen(kw_only=True)
class LinkContext:
    """What the links of one group share."""

    name: str  # the network's
    network: Network
    dialect: Dialect
    connect: Callable[[], Awaitable[trio.abc.Stream]]
    next_stan: Callable[[], tuple[str, str]]
    correlation: Correlation
    counters: LinkCounters
    deliver: Callable[[list[LinkEvent]], None]
    changed: Callable[[], object]  # called after a link came up or went down
    lease_holds: Callable[[], bool]  # whether financial messages may leave at this instant


class Link:
    """One link, over all its connections.

    Attributes:
        index: its number in the group.
        window: its messages between reservation and outcome.
        session: where it stands.
        up: takes new messages.
        may_send: sends what it was given.
    """

    def __init__(self, index: int, context: LinkContext) -> None:
        network = context.network
        self.index = index
        self.window = Window(index, network.window_per_connection)
        self.session = Session(network, context.dialect.network_functions, context.next_stan)
        self.up = False
        self.may_send = False
        self._context = context
        self._outbox = LinkOutbox(
            context.correlation,
            frames_max=network.outbox_frames_max,
            age_max_s=network.max_send_age_s,
        )
        self._bell = Bell()
        self._scope = trio.CancelScope()
        self._ended = ""  # why the connection ends; empty while it lives
        self._sending_since: float | None = None
        self._undecodable = 0  # since the last log line about them
        self._last_undecodable = ""
        self._stopping = trio.Event()
        shortest_s = min(
            network.sign_on_timeout_s,
            network.echo_timeout_s,
            network.frame_header_timeout_s,
            network.frame_body_timeout_s,
            network.send_timeout_s,
        )
        self._watch_interval_s = min(WATCH_INTERVAL_MAX_S, shortest_s / 5)
        self._renew_framer()

    def _renew_framer(self) -> None:
        network = self._context.network
        self._framer = framer_for(self._context.dialect.framing, network.frame_bytes_max)
        self._frame_timer = FrameTimer(
            self._framer,
            header_timeout_s=network.frame_header_timeout_s,
            body_timeout_s=network.frame_body_timeout_s,
        )

    @property
    def sent_total(self) -> int:
        """Financial messages sent so far."""
        return self._outbox.sent_total

    def enqueue(self, slot: Slot) -> bool:
        """Queue a message whose frame is wrapped; False, and the link ends, if there is no room."""
        if not self._outbox.put(slot):
            self._end("outbox full")
            return False
        self._bell.ring()
        return True

    def drain(self) -> None:
        """Take nothing new and dial no more."""
        self._stopping.set()
        self._do(self.session.drain())
        self._follow_state()

    def sign_off(self) -> None:
        """Say good-bye to the network, then close."""
        self._step(self.session.sign_off)
        self._follow_state()

    async def run(self) -> None:
        """Keep the link up until it was drained; cancel to stop without ceremony."""
        network = self._context.network
        backoff = Backoff(min_s=network.reconnect_min_s, max_s=network.reconnect_max_s)
        name, link = self._context.name, self.index
        while not self._stopping.is_set():
            reason = await self._connection()
            if self._settle():
                backoff.reset()
            if self._stopping.is_set():
                break
            delay_s = backoff.next_delay_s()
            retry_in_s = round(delay_s, 2)
            log.warning("link_down", network=name, link=link, reason=reason, retry_in_s=retry_in_s)
            with trio.move_on_after(delay_s):
                await self._stopping.wait()
        log.info("link_stopped", network=name, link=link)

    async def _connection(self) -> str:
        """Make one connection, use it until it ends, say why it ended."""
        self._ended = ""
        self._scope = trio.CancelScope()
        self._outbox.drop_control()
        self._renew_framer()
        self.session.dialing()
        with self._scope:
            try:
                with trio.fail_after(self._context.network.connect_timeout_s):
                    stream = await self._context.connect()
            except (*STREAM_ERRORS, trio.TooSlowError) as error:
                cause = error.__cause__ or error
                return f"connecting failed: {type(cause).__name__}: {cause}"
            await self._converse(stream)
        return self._ended

    async def _converse(self, stream: trio.abc.Stream) -> None:
        self._context.counters.connections_total += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, stream)
                nursery.start_soon(self._watch)
                self._step(self.session.connected)
                await self._read(stream)
        finally:
            self._sending_since = None
            if self.session.state is State.SIGNED_OFF:
                with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                    await stream.aclose()
            else:
                await trio.aclose_forcefully(stream)

    def _settle(self) -> bool:
        """Settle what the connection left behind; whether it had proved itself."""
        now = trio.current_time()
        context = self._context
        context.counters.lost_total += 1
        events = self._outbox.refuse_all("link_lost")
        events += context.correlation.link_lost(self.window, now)
        effects, proven = self.session.lost(now)
        self._follow_state()
        self._do(effects)
        self._tell(events)
        return proven

    def _end(self, reason: str) -> None:
        """End the connection; the first reason stands."""
        self._ended = self._ended or reason
        self._scope.cancel()

    def _tell(self, events: list[LinkEvent]) -> None:
        if events:
            self._context.deliver(events)

    async def _write(self, stream: trio.abc.SendStream) -> None:
        context, outbox = self._context, self._outbox
        while not self._ended:
            now = trio.current_time()
            # Asked here, after whatever held this task or its process up, with no wait until
            # `send_all` has the bytes.
            may_send = self.may_send and context.lease_holds()
            chunk, refused = outbox.next_chunk(now, signed_on=may_send)
            self._tell(refused)
            if not chunk:
                # Those told may have queued again, while nobody waited for the bell.
                if not refused:
                    await self._bell.wait()
                continue
            self._sending_since = now
            try:
                await stream.send_all(chunk)
            except STREAM_ERRORS as error:
                self._end(f"sending failed: {type(error.__cause__ or error).__name__}")
                return
            self._sending_since = None
            context.counters.chunks_total += 1
            context.counters.bytes_sent_total += len(chunk)

    async def _read(self, stream: trio.abc.ReceiveStream) -> None:
        while not self._ended:
            try:
                data = await stream.receive_some()
            except STREAM_ERRORS as error:
                self._end(f"receiving failed: {type(error.__cause__ or error).__name__}")
                return
            try:
                self._take(bytes(data), trio.current_time())
            except FrameError as error:
                self._end(f"framing lost: {error}")

    def _take(self, data: bytes, now: float) -> None:
        """Take what one receive brought; raises FrameError where the framing is lost."""
        framer = self._framer
        if not data:
            framer.close()
            self._end("closed by the network")
            return
        self.session.heard(now)
        self._context.counters.bytes_received_total += len(data)
        self._take_frames(framer.feed(data), now)
        self._frame_timer.observe(now)
        if framer.broken is not None:
            raise framer.broken

    def _take_frames(self, frames: list[bytes], now: float) -> None:
        """Decode and match all that one receive brought."""
        context = self._context
        counters = context.counters
        decode, answer, link = context.dialect.decode, context.correlation.answer, self.index
        events: list[LinkEvent] = []
        empty = 0
        for frame in frames:
            if not frame:
                empty += 1
                continue
            try:
                fields = decode(frame)
            except CodecError as error:
                counters.undecodable_total += 1
                self._undecodable += 1
                self._last_undecodable = _why_undecodable(frame, error)
                continue
            if fields[0][1] == NETWORK_MANAGEMENT:
                self._manage(fields, now, frame)
            else:
                events.append(answer(fields, now, link))
        counters.received_total += len(frames)
        self._tell(events)
        if empty:
            counters.keep_alives_total += empty
            self._do(self.session.keep_alives(empty, now))

    def _manage(self, fields: Fields, now: float, frame: bytes) -> None:
        self._do(self.session.receive(fields, now), answering=frame)
        self._follow_state()

    def _follow_state(self) -> None:
        """Follow the session's state; everything else reads the two flags set here."""
        context = self._context
        was_up, self.up = self.up, self.session.state is State.UP
        could_send, self.may_send = self.may_send, self.session.may_send
        if self.up and not was_up:
            context.counters.sign_ons_total += 1
            log.info("link_up", network=context.name, link=self.index)
        if could_send and not self.may_send:
            self._tell(self._outbox.refuse_all("signed_off"))
        if was_up is not self.up:
            context.changed()

    def _step(self, step: Callable[[float], list[Effect]]) -> None:
        """Let the session act on its own; it needs a STAN for what it sends."""
        try:
            effects = step(trio.current_time())
        except NumbersExhaustedError:
            self._end("no STAN at hand")
            return
        self._do(effects)

    def _do(self, effects: list[Effect], answering: bytes = b"") -> None:
        context = self._context
        for effect in effects:
            if isinstance(effect, Send):
                frame = self._framer.wrap(context.dialect.encode(effect.fields), answering)
                if not self._outbox.put_control(frame):
                    self._end("the network asks and does not read the answers")
                self._bell.ring()
            elif isinstance(effect, Close):
                self._end(effect.reason)
            elif isinstance(effect, Alarm):
                context.counters.alarms_total += 1
                log.error("link_alarm", network=context.name, link=self.index, reason=effect.reason)

    async def _watch(self) -> None:
        """Look after every time limit of the connection."""
        while True:
            await trio.sleep(self._watch_interval_s)
            now = trio.current_time()
            self._step(self.session.tick)
            phase = self._frame_timer.overdue(now)
            if phase is not FramePhase.NOTHING:
                self._end(f"the {phase.name.lower()} of a frame did not arrive in time")
            since = self._sending_since
            if since is not None and now - since > self._context.network.send_timeout_s:
                self._end("the network does not read")
            self._tell(self._outbox.refuse_aged(now))
            if self._outbox:
                self._bell.ring()  # the lease may hold again
            if self._undecodable:
                self._report_undecodable()

    def _report_undecodable(self) -> None:
        log.warning(
            "undecodable_messages",
            network=self._context.name,
            link=self.index,
            count=self._undecodable,
            last=self._last_undecodable,
        )
        self._undecodable = 0


def _why_undecodable(frame: bytes, error: CodecError) -> str:
    """Element, offset and reason, or what the network said of our own message: never data."""
    if isinstance(frame, Returned):
        return f"a message of ours returned with reject code {frame.reject_code}"
    return str(error)
