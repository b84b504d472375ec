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

from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from chassis.backoff import Backoff
from chassis.bell import Bell
from chassis.crash_points import AFTER_WRITE, BEFORE_WRITE, reach
from chassis.framing import FrameError
from chassis.log import get_logger
from chassis.tls_faults import TLSFault, explain
from switch.core.numbers import NumbersExhaustedError
from switch.link.authentic import AuthenticInbound
from switch.link.authentication import Keyed
from switch.link.context import LinkContext
from switch.link.correlation import Slot, Window
from switch.link.events import Fields, LinkEvent
from switch.link.inbound import Inbound
from switch.link.mac_stage import Outgoing
from switch.link.outbox import LinkOutbox
from switch.link.session import Alarm, Close, Effect, Send, Session, answer_to
from switch.link.states import State

CLOSE_TIMEOUT_S: Final = 1.0  # for TLS to say good-bye
WATCH_INTERVAL_MAX_S: Final = 0.5
STREAM_ERRORS = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)

log = get_logger(__name__)


class Link:
    """One link, over all its connections.

    Args:
        index: its number, which no other link of the group ever has.
        place: which of the network's connections it is; the first host it tries.
        context: what it shares with others.

    Attributes:
        index: as given.
        place: as given.
        window: its messages between reservation and outcome.
        session: where it stands.
        up: takes new messages.
        may_send: sends what it was given.
        ended: set once it was drained and is gone.
    """

    def __init__(self, index: int, place: int, context: LinkContext) -> None:
        network = context.network
        self.index = index
        self.place = place
        self.window = Window(index, network.window_per_connection, self)
        authentication = context.authentication
        self.session = Session(
            network,
            context.echo,
            context.dialect.network_functions,
            context.next_stan,
            has_key=authentication.keys.has_key if authentication is not None else None,
        )
        self.up = False
        self.may_send = False
        self.ended = trio.Event()
        self._context = context
        self._outbox = LinkOutbox(
            context.correlation,
            frames_max=network.outbox_frames_max,
            age_max_s=network.max_send_age_s,
        )
        self._inbound = self._make_inbound()
        self._bell = Bell()
        self._scope = trio.CancelScope()
        self._ended = ""  # why the connection ends; empty while it lives
        self._alarmed = ""  # what was last raised an alarm for, until the link is up
        self._sending_since: float | None = None
        self._stopping = trio.Event()
        shortest_s = min(
            network.sign_on_timeout_s,
            context.echo.timeout_s,
            network.frame_header_timeout_s,
            network.frame_body_timeout_s,
            network.send_timeout_s,
        )
        self._watch_interval_s = min(WATCH_INTERVAL_MAX_S, shortest_s / 5)

    def _make_inbound(self) -> Inbound:
        authentication = self._context.authentication
        if authentication is None:
            return Inbound(self.index, self._context, self._manage)
        return AuthenticInbound(
            self.index,
            self._context,
            self._manage,
            authentication=authentication,
            tell=self._tell,
            answer=self.answer,
            now=trio.current_time,
        )

    @property
    def is_up(self) -> bool:
        """Whether it takes new messages; `up` for those who ask rarely."""
        return self.up

    @property
    def connection(self) -> int:
        """Of its connections, counted: the present one, or the last."""
        return self._inbound.connection

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

    def ask_key(self) -> bool:
        """Ask the network for a MAC key; False where this link is in no state to."""
        return self._step(lambda _now: self.session.ask_key())

    def key_changed(self) -> None:
        """There is a new MAC key: sign on, if that had to wait."""
        self._step(self.session.key_changed)

    def give_up(self, reason: str) -> None:
        """There will be no MAC key."""
        self._do(self.session.key_denied(reason))

    def answer(self, request: Fields, code: str, frame: bytes, connection: int) -> None:
        """Answer the peer's 0800 with a code, unless the connection that it came by is over."""
        if connection == self.connection and not self._ended:
            self._do([answer_to(request, code)], answering=frame)

    async def run(self) -> None:
        """Keep the link up until it was drained; cancel to stop without ceremony."""
        network = self._context.network
        backoff = Backoff(min_s=network.reconnect_min_s, max_s=network.reconnect_max_s)
        name, link, turn = self._context.name, self.index, self.place
        while not self._stopping.is_set():
            reason = await self._connection(turn)
            if self._settle():
                backoff.reset()
            else:
                turn += 1  # another host may fare better
            if self._stopping.is_set():
                break
            delay_s = backoff.next_delay_s()
            retry_in_s = round(delay_s, 2)
            log.warning("link_down", network=name, link=link, reason=reason, retry_in_s=retry_in_s)
            with trio.move_on_after(delay_s):
                await self._stopping.wait()
        self.ended.set()
        log.info("link_stopped", network=name, link=link)

    async def _connection(self, turn: int) -> str:
        """Make one connection, use it until it ends, say why it ended."""
        self._ended = ""
        self._scope = trio.CancelScope()
        self._outbox.drop_control()
        self._inbound.begin()
        self.session.dialing()
        with self._scope:
            try:
                with trio.fail_after(self._context.network.connect_timeout_s):
                    stream = await self._context.connect(turn, self.session.reached)
            except (*STREAM_ERRORS, trio.TooSlowError) as error:
                return f"connecting failed: {self._fault(error).reason}"
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

    def _fault(self, error: BaseException) -> TLSFault:
        """Why a connection failed; an alarm where one end refused the other."""
        fault = explain(error)
        counters = self._context.counters
        if fault.blame == "peer":
            counters.peers_refused_total += 1
        elif fault.blame == "ours":
            counters.refused_by_peer_total += 1
        if fault.blame != "path" and fault.reason != self._alarmed:
            self._alarmed = fault.reason
            self._alarm(fault.reason)
        return fault

    def _alarm(self, reason: str) -> None:
        self._context.counters.alarms_total += 1
        log.error("link_alarm", network=self._context.name, link=self.index, reason=reason)

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
            reach(BEFORE_WRITE)
            try:
                await stream.send_all(chunk)
            except STREAM_ERRORS as error:
                self._end(f"sending failed: {self._fault(error).reason}")
                return
            reach(AFTER_WRITE)
            self._sending_since = None
            context.counters.chunks_total += 1
            context.counters.bytes_sent_total += len(chunk)

    async def _read(self, stream: trio.abc.ReceiveStream) -> None:
        while not self._ended:
            try:
                data = await stream.receive_some()
            except STREAM_ERRORS as error:
                self._end(f"receiving failed: {self._fault(error).reason}")
                return
            try:
                self._take(bytes(data), trio.current_time())
            except FrameError as error:
                self._end(f"framing lost: {error}")

    def _take(self, data: bytes, now: float) -> None:
        """Take what one receive brought; raises FrameError where the framing is lost."""
        inbound = self._inbound
        if not data:
            inbound.framer.close()
            self._end("closed by the network")
            return
        frames = inbound.cut(data, now)
        if frames:
            self.session.heard(now)
            events, keep_alives = inbound.match(frames, now)
            self._tell(events)
            if keep_alives:
                self._do(self.session.keep_alives(keep_alives, now))
        if inbound.framer.broken is not None:
            raise inbound.framer.broken

    def _manage(self, fields: Fields, now: float, frame: bytes) -> None:
        self._do(self.session.receive(fields, now), answering=frame)
        self._follow_state()

    def _follow_state(self) -> None:
        """Follow the session's state; everything else reads the two flags set here."""
        context = self._context
        was_up, self.up = self.up, self.session.state is State.UP
        could_send, self.may_send = self.may_send, self.session.may_send
        self.window.open = self.up
        if self.up and not was_up:
            self._alarmed = ""
            context.counters.sign_ons_total += 1
            log.info("link_up", network=context.name, link=self.index)
        if could_send and not self.may_send:
            self._tell(self._outbox.refuse_all("signed_off"))
        if was_up is not self.up:
            context.changed()

    def _step(self, step: Callable[[float], list[Effect]]) -> bool:
        """Let the session act on its own; it needs a STAN for what it sends. Whether it did."""
        try:
            effects = step(trio.current_time())
        except NumbersExhaustedError:
            self._end("no STAN at hand")
            return False
        self._do(effects)
        return bool(effects)

    def _do(self, effects: list[Effect], answering: bytes = b"") -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._send_control(effect.fields, answering)
            elif isinstance(effect, Close):
                self._end(effect.reason)
            elif isinstance(effect, Alarm):
                self._alarm(effect.reason)
            else:
                self._context.told(effect, self, answering)

    def _send_control(self, fields: Fields, answering: bytes) -> None:
        """Have network management sent, with a MAC where one can be made.

        A request for a key has none: it is made by those who do not share one.
        """
        context = self._context
        authentication = context.authentication
        if authentication is None or not authentication.wants_mac(fields):
            self._queue_control(context.dialect.encode(fields), answering)
            return
        frame: Keyed = authentication.encode(fields)
        give_up_at = trio.current_time() + context.network.sign_on_timeout_s
        done = partial(self._control_sealed, self.connection, answering)
        authentication.stage.make(Outgoing(frame.key_id, frame, give_up_at, done))

    def _control_sealed(self, connection: int, answering: bytes, frame: bytes, why: str) -> None:
        if connection != self.connection or self._ended:
            return
        if why:
            self._end(f"network management cannot be sent: {why}")
        else:
            self._queue_control(frame, answering)

    def _queue_control(self, message: bytes, answering: bytes) -> None:
        """Queue network management, ahead of everything else."""
        frame = self._inbound.framer.wrap(message, answering)
        if not self._outbox.put_control(frame):
            self._end("the network asks and does not read the answers")
        self._bell.ring()

    async def _watch(self) -> None:
        """Look after every time limit of the connection."""
        while True:
            await trio.sleep(self._watch_interval_s)
            now = trio.current_time()
            self._step(self.session.tick)
            if overdue := self._inbound.overdue(now):
                self._end(overdue)
            since = self._sending_since
            if since is not None and now - since > self._context.network.send_timeout_s:
                self._end("the network does not read")
            self._tell(self._outbox.refuse_aged(now))
            if self._outbox:
                self._bell.ring()  # the lease may hold again
            self._inbound.report()
