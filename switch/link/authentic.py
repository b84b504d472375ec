"""What comes in on a link whose messages carry MACs: nothing is believed before it is verified.

As `inbound`, but between decoding and matching every message passes the stage where MACs are
verified, together with all others that came in meanwhile on any link of the network. An answer
whose MAC is bad or missing makes its message unknown; a question of the network's gets 63 and
nothing is done. Both are counted and told of, as garbled messages are.
"""

from __future__ import annotations

from collections.abc import Callable

from chassis.log import get_logger
from hsm_sim.wire import MacRefused, MacVerified
from switch.iso8583 import CodecError
from switch.iso8583.mti import NETWORK_MANAGEMENT_REQUEST, is_response
from switch.link.authentication import Authentication
from switch.link.context import LinkContext
from switch.link.correlation import correlation_key
from switch.link.events import Fields, LinkEvent
from switch.link.inbound import NETWORK_MANAGEMENT, Inbound, Manage
from switch.link.mac_stage import Incoming
from switch.link.macs import may_lack_mac, to_verify, vouches_for_itself
from switch.link.session import SECURITY_VIOLATION, SETTLEMENT_DATE

log = get_logger(__name__)


class AuthenticInbound(Inbound):
    """The receiving half of such a link.

    Args:
        link: its number.
        context: what it shares with others.
        manage: as of `Inbound`.
        authentication: of the network.
        tell: gets the events of messages that were judged after `match` had returned.
        answer: answers a question of the network's, on the connection that it came by.
        now: monotonic seconds.
    """

    def __init__(
        self,
        link: int,
        context: LinkContext,
        manage: Manage,
        *,
        authentication: Authentication,
        tell: Callable[[list[LinkEvent]], None],
        answer: Callable[[Fields, str, bytes, int], None],
        now: Callable[[], float],
    ) -> None:
        super().__init__(link, context, manage)
        self._authentication = authentication
        self._tell = tell
        self._answer = answer
        self._now = now
        self._events: list[LinkEvent] = []
        self._unauthentic = 0  # since the last log line about them
        self._last_unauthentic = ""

    def match(self, frames: list[bytes], now: float) -> tuple[list[LinkEvent], int]:
        """Decode frames and have them judged; only what needs no MAC has gone any further."""
        context, authentication = self._context, self._authentication
        decode, name, names = context.dialect.decode, context.name, authentication.names
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
            question = to_verify(name, frame, fields)
            if question is not None:
                authentication.stage.judge(Incoming(question, self, fields, frame, self.connection))
            elif may_lack_mac(fields, names) or vouches_for_itself(fields, names):
                self._accept(fields, frame, self.connection, now)
            else:
                self._refuse(fields, frame, self.connection, "no MAC", now)
        context.counters.keep_alives_total += empty
        events, self._events = self._events, []
        return events, empty

    def judged(self, message: Incoming, verdict: MacVerified | MacRefused) -> None:
        """What a MAC is worth."""
        fields, frame, connection = message.fields, message.frame, message.connection
        now = self._now()
        if isinstance(verdict, MacVerified):
            if verdict.state == "next":
                self._authentication.peer_uses(verdict.key_id)
        elif not vouches_for_itself(fields, self._authentication.names):
            self._refuse(fields, frame, connection, verdict.code, now)
            return
        self._accept(fields, frame, connection, now)

    def all_judged(self) -> None:
        """Hand on what a batch of verdicts has led to."""
        events, self._events = self._events, []
        self._tell(events)

    def _accept(self, fields: Fields, frame: bytes, connection: int, now: float) -> None:
        context = self._context
        if fields[0][1] != NETWORK_MANAGEMENT:
            if context.day.settlement_date:
                fields.setdefault(SETTLEMENT_DATE, context.day.settlement_date)
            self._events.append(context.correlation.answer(fields, now, self._link))
        elif connection == self.connection:
            self._manage(fields, now, frame)

    def _refuse(self, fields: Fields, frame: bytes, connection: int, why: str, now: float) -> None:
        self._context.counters.unauthentic_total += 1
        self._unauthentic += 1
        self._last_unauthentic = f"{fields[0]}: {why}"
        if fields[0] == NETWORK_MANAGEMENT_REQUEST:
            self._answer(fields, SECURITY_VIOLATION, frame, connection)
        elif is_response(fields[0]) and fields[0][1] != NETWORK_MANAGEMENT:
            unknown = self._context.correlation.distrust(correlation_key(fields), now)
            if unknown is not None:
                self._events.append(unknown)

    def report(self) -> None:
        """Tell of messages that could not be decoded, or believed, since the last report."""
        super().report()
        if not self._unauthentic:
            return
        log.error(
            "messages_not_authentic",
            network=self._context.name,
            link=self._link,
            count=self._unauthentic,
            last=self._last_unauthentic,
        )
        self._unauthentic = 0
