"""Messages in flight that are no charges, and what their answers say.

An exchange is handed to a network's links as the token of its message. Its events become findings,
and findings become decisions of the desk that the attempt belongs to; so it does not matter whether
the one who sent the message still waits, or whether the answer is late.

Silence about an advice needs no decision: its place in store-and-forward says when it is sent
again. Silence about a request does, for somebody may wait, and a doubt begins with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs
import trio

from chassis.log import get_logger
from ledger.records import Lost
from switch.carriers import Carrier
from switch.core.findings import Finding, not_sent, unknown
from switch.core.messages import Acceptor
from switch.core.messages_following import Card
from switch.core.operations.answers import is_in_progress, judge_of, needs_decision, spoiled
from switch.core.operations.letters import compose
from switch.core.operations.records import Conclusion, Letter
from switch.core.response_codes import ResponseCodes
from switch.iso8583.errors import CodecError
from switch.link.correlation import Slot, correlation_key
from switch.link.events import Answered, CorrelationKey, Fields, Late, LinkEvent, NotSent, Unknown
from switch.operations.desk import Desk
from switch.operations.drawing import Drawing
from switch.operations.errands import OperationCounts
from switch.operations.telling import About, Concluded, Telling, nobody
from switch.pipeline.anomalies import Anomalies

log = get_logger(__name__)

CARD_ELEMENTS: Final = (2, 14)


@attrs.define(eq=False, kw_only=True)
class Exchange:
    """One message on its way and everything that its answer needs.

    Attributes:
        letter: the message as the ledger knows it.
        intent_id: whose.
        desk: decides what its answer does.
        forwarded: it stands in store-and-forward, which repeats it.
        concluded: hears what the first finding did.
        fields: as sent, without the card, for the echo check.
        frame: as sent; dropped once it cannot be sent on another link any more.
    """

    letter: Letter
    intent_id: bytes
    desk: Desk
    forwarded: bool = False
    concluded: Concluded = nobody
    fields: Fields = attrs.field(factory=dict, repr=False)
    frame: bytes = attrs.field(default=b"", repr=False)
    accepted_at: float = 0.0
    repeat: bool = False
    moved: bool = False  # to another link, once
    waited: bool = False  # for an answer in progress, once


class Exchanges:
    """Sends letters and turns the links' events about them into decisions.

    Args:
        carriers: by network name.
        codes: the DE 39 table.
        drawing: transmission times, for networks that want a new one on a repeat.
        telling: has decided what answers do.
        counts: all operations'.
        anomalies: the process's.
        now_us: microseconds since 1970.
    """

    def __init__(
        self,
        *,
        carriers: Mapping[str, Carrier],
        codes: ResponseCodes,
        drawing: Drawing,
        telling: Telling,
        counts: OperationCounts,
        anomalies: Anomalies,
        now_us: Callable[[], int],
    ) -> None:
        self._in_flight = dict.fromkeys(carriers, 0)
        self._carriers = carriers
        self._codes = codes
        self._drawing = drawing
        self._telling = telling
        self._counts = counts
        self._anomalies = anomalies
        self._now_us = now_us
        self._quiet = trio.lowlevel.ParkingLot()

    def in_flight(self, network: str) -> int:
        """Messages on a network of which nothing is known yet."""
        return self._in_flight[network]

    @property
    def is_busy(self) -> bool:
        """Whether any message is in flight."""
        return any(self._in_flight.values())

    async def wait_quiet(self) -> None:
        """Wait until every message in flight has been answered, or has passed its deadline."""
        while self.is_busy:
            await self._quiet.park()

    # -------------------------------------------------------------------------------- there

    def send(
        self,
        exchange: Exchange,
        slot: Slot,
        *,
        card: Card,
        acceptor: Acceptor,
        accepted_at: float,
        sent_before: bool = False,
    ) -> None:
        """Encode a letter and hand it to its network's links; never raises, never blocks.

        What is recorded and cannot be encoded was not sent; an advice then goes to an operator,
        for no repeat of it will fare better.
        """
        letter = exchange.letter
        carrier = self._carriers[letter.network]
        policy = carrier.dialect.policy
        self._in_flight[letter.network] += 1
        try:
            fresh = sent_before and policy.repeat_refreshes_de7
            fields = compose(
                letter,
                card=card,
                acceptor=acceptor,
                policy=policy,
                sent_before=sent_before,
                de7=self._drawing.de7(letter.network) if fresh else "",
            )
            exchange.frame = carrier.encode(fields)
            key = correlation_key(fields)
        except Exception as error:  # noqa: BLE001  one message's fault is its own (design 3)
            carrier.group.release(slot)
            self._fault("message_not_encodable", exchange, error)
            self._found(exchange, spoiled(error, forwarded=exchange.forwarded), "switch")
            return
        for de in CARD_ELEMENTS:
            fields.pop(de, None)
        exchange.fields = fields
        exchange.accepted_at = accepted_at
        exchange.repeat = sent_before
        self._hand_over(exchange, slot, key)

    def _hand_over(self, exchange: Exchange, slot: Slot, key: CorrelationKey) -> None:
        try:
            self._carriers[exchange.letter.network].group.send(
                slot,
                key,
                exchange.frame,
                exchange,
                exchange.accepted_at,
                repeat=exchange.repeat,
            )
        except Exception as error:  # noqa: BLE001  as above, and nobody knows how far it came
            self._fault("message_not_handed_over", exchange, error)
            self._found(exchange, unknown("internal_error"), "switch")

    def _move(self, exchange: Exchange) -> bool:
        """Put a message of which no byte left on another link of its network, once."""
        if exchange.moved:
            return False
        slot = self._carriers[exchange.letter.network].group.reserve()
        if slot is None:
            return False
        exchange.moved = True
        self._hand_over(exchange, slot, correlation_key(exchange.fields))
        return True

    # --------------------------------------------------------------------------- and back again

    def on_event(self, event: LinkEvent) -> None:
        """Take an event whose token is an exchange; quick, and never raises."""
        if isinstance(event, Answered):
            self._answered(event.token, event.fields)
        elif isinstance(event, Late):
            exchange = event.token
            finding = self._judge(exchange, event.fields)
            if finding.result != "unknown":
                self._settle(exchange, finding, f"network:{exchange.letter.network}", late=True)
            else:
                self._doubt(exchange, event.fields, finding)
        elif isinstance(event, Unknown):
            self._found(event.token, unknown(event.reason), "switch")
        elif isinstance(event, NotSent) and not self._move(event.token):
            self._found(event.token, not_sent(event.reason), "switch")

    def _answered(self, exchange: Exchange, answer: Fields) -> None:
        finding = self._judge(exchange, answer)
        if is_in_progress(exchange.letter, finding) and not exchange.waited:
            exchange.waited = True
            self._carriers[exchange.letter.network].group.keep_waiting(answer, exchange)
            return
        if finding.result == "unknown":
            self._doubt(exchange, answer, finding)
        self._found(exchange, finding, f"network:{exchange.letter.network}")

    def _doubt(self, exchange: Exchange, answer: Fields, finding: Finding) -> None:
        """An answer that decides nothing: tell of it, and hear a better one as a late one."""
        self._anomalies.tell(
            log.warning,
            "answer_in_doubt",
            network=exchange.letter.network,
            mti=exchange.letter.mti,
            attempt=exchange.letter.attempt_id.hex(),
            reason=finding.reason,
            code=finding.response_code,
        )
        self._carriers[exchange.letter.network].group.doubt(answer, exchange)

    def _judge(self, exchange: Exchange, answer: Fields) -> Finding:
        try:
            return judge_of(exchange.letter)(
                exchange.fields,
                answer,
                codes=self._codes,
                echoes=self._carriers[exchange.letter.network].echoes,
                now_us=self._now_us(),
            )
        except Exception as error:  # noqa: BLE001  one answer's fault is its own (design 3)
            self._fault("answer_not_judged", exchange, error)
            return unknown("internal_error")

    def _found(self, exchange: Exchange, finding: Finding, actor: str) -> None:
        """The first thing that is known of a message: it is in flight no more."""
        exchange.frame = b""
        self._in_flight[exchange.letter.network] -= 1
        if not any(self._in_flight.values()):
            self._quiet.unpark_all()
        if needs_decision(exchange.letter, finding, forwarded=exchange.forwarded):
            self._settle(exchange, finding, actor)

    def _settle(
        self, exchange: Exchange, finding: Finding, actor: str, *, late: bool = False
    ) -> None:
        about = About(
            exchange.intent_id, exchange.letter.attempt_id, exchange.letter.network, exchange.desk
        )
        try:
            self._telling.tell(
                about,
                finding,
                actor,
                lambda answer: self._concluded(exchange, finding, answer, late=late),
            )
        except Exception as error:  # noqa: BLE001  as above; recovery finds the attempt open
            self._fault("finding_not_told", exchange, error)
            self._concluded(exchange, finding, Lost("internal_error"))

    def _concluded(
        self,
        exchange: Exchange,
        finding: Finding,
        answer: Conclusion | Lost,
        *,
        late: bool = False,
    ) -> None:
        if isinstance(answer, Conclusion):
            self._counts.late_adopted_total += late and answer.moved
            if finding.result == "poison":
                self._counts.advices_rejected_total += 1
            elif exchange.letter.kind == "inquiry" and answer.moved:
                self._counts.inquiries_conclusive_total += 1
            elif exchange.forwarded and finding.result in ("approved", "nothing_found"):
                self._counts.advices_ended_total += 1
        concluded, exchange.concluded = exchange.concluded, nobody
        concluded(answer)

    def _fault(self, event: str, exchange: Exchange, error: Exception) -> None:
        self._counts.errors_total += 1
        self._anomalies.tell(
            log.error,
            event,
            network=exchange.letter.network,
            attempt=exchange.letter.attempt_id.hex(),
            error=type(error).__name__,
            # An encoder's text names element and reason; any other might quote the card.
            detail=str(error) if isinstance(error, CodecError) else "",
        )
